"""The summary of a finished run: final metrics, cost and speed, in summary.json."""

from collections.abc import Sequence
from typing import Any

from attention_lab.benchmark.timing import matmul_peak
from attention_lab.dataset.base.guess import constant_guess
from attention_lab.distributed.devices import peak_memory, unreplicate
from attention_lab.run import folder as run_folder
from attention_lab.system.files import write_json, writing
from attention_lab.training import leaks
from attention_lab.training.evaluation import (
  evaluate,
  evaluate_lengths,
  length_measures,
)
from attention_lab.training.run import Run
from attention_lab.training.stepper import Stepper
from attention_lab.training.watch import Watch


def summarise(
  runs: Sequence[Run], stepper: Stepper, watch: Watch
) -> list[dict[str, Any]]:
  """Evaluate each run, write its summary.json and return the summaries.

  Raises:
    Interrupted: after a signal.
  """
  first = runs[0]
  memory = peak_memory() // len(runs)  # Before the evaluation takes more.
  flops = first.flops_per_step()
  dtype = first.experiment.policy.compute_dtype
  peak = matmul_peak(dtype) * len(first.devices)
  lengths = dict(first.extra_lengths)
  measures = length_measures(first.experiment.measure, lengths, first.devices)
  summaries = []
  for run in runs:
    watch.check()
    leaks.refuse_leak_at_lengths(run, stepper.step, measures)
    summary = _summary(run, stepper, flops, peak, memory, watch)
    if lengths:
      summary["lengths"] = evaluate_lengths(
        *(measures, run.state.params, lengths),
        *(run.options.batch_size, run.devices, watch.of),
      )
    if run.group.first:
      path = run.folder / run_folder.SUMMARY
      with writing(path):
        write_json(path, summary)
    summaries.append(summary)
  return summaries


def _summary(
  run: Run, stepper: Stepper, flops: int, peak: float, memory: int, watch: Watch
) -> dict[str, Any]:
  """Return everything but the metrics at other lengths."""
  options, step, spent = run.options, stepper.step, stepper.seconds
  dataset = run.experiment.dataset
  train = evaluate(
    *(run.measure, run.state.params, dataset, "train"),
    *(options.batch_size, run.devices, watch.of("train")),
  )
  speed = flops * step / max(run.clock.training_seconds(spent), 1e-9)
  summary = {
    "attention": options.attention,
    "position": options.position,
    "dataset": options.dataset,
    "sequence_length": dataset.sequence_length,
    "parameters": options.parameters,
    "leak_check": options.leak_check,
    "steps": step,
    "side_by_side": run.siblings,  # Seconds are the run's share.
    "seconds": run.clock.seconds(),
    "tokens_per_second": run.tokens_per_second(step, spent),
    "compile_seconds": stepper.compile_seconds,
    "flops_per_step": flops,
    "flops_per_second": speed,
    "utilisation": speed / peak,
    "memory_bytes": memory,
    "train": train,
    "validation": (run.validation or {}) | _scores(run, watch),
    "primary": dataset.primary,
    "guess": constant_guess(dataset),
  }
  best = dataset.best_loss
  if best is not None and run.validation:
    summary["above_best"] = run.validation["loss"] - best
  return summary


def _scores(run: Run, watch: Watch) -> dict[str, Any]:
  """Return BLEU and chrF of the run's translations, if they are requested."""
  if run.translate is None or not run.group.first:
    return {}
  file = run.folder / run_folder.TRANSLATIONS.format("validation")
  on_batch = watch.of_first("translations")
  return run.translate(unreplicate(run.state.params), file, on_batch)
