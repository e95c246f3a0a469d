"""--mode=evaluate: metrics of a trained run on its splits, and BLEU of translations."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from attention_lab.config import Config
from attention_lab.dataset.base.dataset import Dataset
from attention_lab.dataset.base.lines import user_lines
from attention_lab.dataset.base.pairs import sentences_of
from attention_lab.dataset.base.strided import Strided, strided
from attention_lab.decode.sampler import make_sampler
from attention_lab.decode.translator import Translator, score_answers
from attention_lab.distributed.devices import (
  local_devices,
  refuse_indivisible,
  replicate,
)
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment, assemble
from attention_lab.run import code as run_code
from attention_lab.run import folder as run_folder
from attention_lab.run.restore import Trained
from attention_lab.system.files import write_json
from attention_lab.system.regular import kept_if_possible
from attention_lab.training import changes, leaks
from attention_lab.training.evaluation import (
  at_lengths,
  evaluate_lengths,
  length_measures,
  perplexities,
  split_figures,
  split_sums,
)
from attention_lab.training.listener import Listener
from attention_lab.training.messages import format_figures
from attention_lab.training.preflight import code_of, sample_options
from attention_lab.training.progress import Show
from attention_lab.training.restoring import restore
from attention_lab.update import Measure, make_evaluate

Pairs = tuple[list[str], list[str]]  # Sources and references, line by line.


class Prepared(NamedTuple):
  """An experiment to evaluate, with its data."""

  config: Config
  experiment: Experiment
  splits: dict[str, Dataset]  # The dataset to evaluate each split of.
  lengths: dict[int, Dataset]  # The dataset at other lengths.
  scorable: dict[str, Pairs]  # Sentences to translate, by split.


def run(config: Config, workdir: str | None) -> int:
  """Print the metrics and write evaluation.json."""
  folder = run_folder.existing(workdir)
  trained = changes.trained(folder)
  experiment = assemble(config, run_folder.kept(folder))
  changed = changes.evaluated_otherwise(trained, config)
  _refuse_dataset(folder, experiment.dataset, other="dataset" in changed)
  trained.checkpoint.changed_code = config.checkpoint.changed_code
  code = code_of(trained)
  run_code.refuse_other_code(folder, code, config.checkpoint.changed_code)
  prepared = prepare(config, experiment)
  restored = restore(experiment, folder, config, trained, code)
  if changed:
    print(f"Changed for this evaluation: {changes.text(changed)}")
  with contextlib.closing(Show()) as show:
    measured = measure(prepared, restored, show, folder)
  changed_code = run_code.changed_code(folder, code)
  result = record(restored, experiment, changed, changed_code) | measured
  write(folder, result)
  print(f"Written to {folder / run_folder.EVALUATION}")
  return 0


def prepare(config: Config, experiment: Experiment) -> Prepared:
  """Return what an evaluation needs besides parameters.

  Raises:
    UserError: the settings cannot be evaluated.
  """
  refuse_indivisible(config.batch_size, 1, len(local_devices()))
  splits = _splits(config, experiment.dataset)
  lengths = at_lengths(experiment, config.evaluation.extra_lengths)
  scorable = _scorable(experiment, config, splits)
  return Prepared(config, experiment, splits, lengths, scorable)


def _splits(config: Config, dataset: Dataset) -> dict[str, Dataset]:
  """Return the dataset to evaluate each split of, with overlapping windows or without.

  Raises:
    UserError: the dataset lacks the split, or cannot have such windows.
  """
  split, stride = config.evaluation.split, config.evaluation.stride
  if split not in ("all", *dataset.splits):
    raise UserError(
      f"--config.evaluation.split={split}: --dataset={config.dataset} has the splits "
      f"{', '.join(dataset.splits)}."
    )
  if split == "train" and stride is not None:
    raise UserError(
      f"--config.evaluation.stride={stride}: the training split is evaluated on windows "
      f"in random order, which do not overlap; omit it."
    )
  found = dict.fromkeys(dataset.splits if split == "all" else (split,), dataset)
  if stride is not None:
    others = [each for each in found if each != "train"]
    found.update(dict.fromkeys(others, strided(dataset, stride)))
  return found


def record(
  restored: Trained,
  experiment: Experiment,
  changed: Mapping[str, Any],
  changed_code: Sequence[str],
) -> dict[str, Any]:
  """Return what evaluation.json says about the origin of its metrics.

  Args:
    restored: the parameters.
    experiment: the experiment that is evaluated.
    changed: settings that differ from those of training.
    changed_code: names of code that has changed since training, which the user accepted.
  """
  found: dict[str, Any] = {"step": restored.step, "checkpoint": restored.path.name}
  if restored.averaged:
    found["averaged"] = [path.name for path in restored.averaged]
  if changed_code:
    found["changed_code"] = list(changed_code)
  if changed:
    found["changed"] = changed
    found["dataset_sha256"] = experiment.dataset.fingerprint
  return found


def measure(
  prepared: Prepared, restored: Trained, show: Listener, folder: Path | None
) -> dict[str, Any]:
  """Return the metrics of the splits and at other lengths, and scores of translations.

  Args:
    prepared: what is evaluated.
    restored: the parameters.
    show: shows the progress and each result.
    folder: where translations are written; None for nowhere.

  Raises:
    UserError: a loss depends on future tokens.
  """
  result = _measured(prepared, restored, show)
  for name, scores in _translated(prepared, restored.params, folder, show).items():
    result.setdefault(name, {}).update(scores)
  return result


def write(folder: Path, result: Mapping[str, Any]) -> None:
  """Write evaluation.json."""
  with kept_if_possible(folder / run_folder.EVALUATION):
    write_json(folder / run_folder.EVALUATION, result)


def _refuse_dataset(folder: Path, dataset: Dataset, other: bool) -> None:
  """Raise `UserError` at changed data, or at another dataset of another vocabulary."""
  if other:
    why = f"The run in {folder} was trained"
    changes.refuse_other_vocabulary(why, folder, dataset.vocabulary)
  else:
    run_folder.refuse_other_data(folder, dataset.fingerprint)


def _measured(prepared: Prepared, restored: Trained, show: Listener) -> dict[str, Any]:
  """Return the metrics of the splits and at other lengths, and show them."""
  config, experiment, splits, lengths, _ = prepared
  devices, dataset, step = local_devices(), experiment.dataset, restored.step
  params = replicate(restored.params, devices)
  measure = make_evaluate(experiment.measure, devices, dataset.num_shapes)
  measures = length_measures(experiment.measure, lengths, devices)
  evaluations = [(measure, own, split, "") for split, own in splits.items()]
  for length, other in lengths.items():
    words = f" at {length} tokens"
    evaluations.append((measures[length], other, "validation", words))
  _refuse_leak(config, experiment, step, params, evaluations)
  result: dict[str, Any] = {}
  watch, size = show.batches, config.batch_size
  for split, own in splits.items():
    sums = split_sums(measure, params, own, split, size, devices, watch(split))
    figures = split_figures(own, split, size, range(len(sums)), sums)
    result[split] = figures | perplexities(own, split, figures["loss"], sums)
    show.line(f"step {step}  {split}{_stride(own)}: {format_figures(result[split])}")
    if isinstance(own, Strided):
      result[split]["stride"] = own.stride
  if lengths:
    result["lengths"] = evaluate_lengths(
      measures, params, lengths, size, devices, watch
    )
    for length, figures in result["lengths"].items():
      show.line(f"step {step}  length {length}: {format_figures(figures)}")
  return result


def _stride(dataset: Dataset) -> str:
  """Return words about windows that overlap."""
  return f" at stride {dataset.stride}" if isinstance(dataset, Strided) else ""


def _refuse_leak(
  config: Config,
  experiment: Experiment,
  step: int,
  params: Any,
  evaluations: list[tuple[Measure, Dataset, str, str]],
) -> None:
  """Raise `UserError` if a loss of stored parameters depends on future tokens.

  Args:
    config: the configuration.
    experiment: the experiment.
    step: the step of the parameters.
    params: the parameters, on the devices.
    evaluations: what computes the loss of a split of a dataset, and words for it.
  """
  if config.skip_checks or not experiment.causal:
    return
  for measure, dataset, split, where in evaluations:
    leak = leaks.find_in_evaluation(
      experiment,
      measure,
      params,
      dataset,
      split,
      config.batch_size,
      local_devices(),
      (config.seed, step),
    )
    if leak is not None:
      raise UserError(leaks.message(experiment, config.attention, leak, where))


def _scorable(
  experiment: Experiment, config: Config, splits: Iterable[str]
) -> dict[str, Pairs]:
  """Return the sentences to translate: of all splits but training, or of given files.

  Raises:
    UserError: the files do not fit the run, or each other.
  """
  dataset, files = experiment.dataset, config.evaluation.files
  if not files:
    known = [split for split in splits if split != "train"]
    found = {split: sentences_of(dataset, split) for split in known}
    return {split: pairs for split, pairs in found.items() if pairs is not None}
  flag = "config.evaluation.files"
  if dataset.task != "pairs":
    raise UserError(f"--{flag}: this run does not translate.")
  if len(files) != 2:
    raise UserError(
      f"--{flag}={files}: take two files, the sources and the references: "
      f"\"('a.en', 'a.de')\"."
    )
  source, target = (user_lines(str(path), flag) for path in files)
  if len(source) != len(target):
    raise UserError(
      f"--{flag}: {files[0]} has {len(source):,} lines and {files[1]} has "
      f"{len(target):,}; line by line, they have to be translations of each other."
    )
  return {"files": (source, target)}


def _translated(
  prepared: Prepared, params: Any, folder: Path | None, show: Listener
) -> dict[str, Any]:
  """Return BLEU and chrF of sentences; translations are written to the folder."""
  config, experiment, scored = prepared.config, prepared.experiment, {}
  for name, pairs in prepared.scorable.items():
    translator = make_sampler(experiment, *sample_options(config))
    assert isinstance(translator, Translator)
    file = folder and folder / run_folder.TRANSLATIONS.format(name)
    watch = show.batches(f"translations of {name}")
    scored[name] = score_answers(translator, params, pairs, file, watch)
    for key, score in scored[name].items():
      show.line(f"{name}: {key} {score['value']:.2f}  ({score['signature']})")
  return scored
