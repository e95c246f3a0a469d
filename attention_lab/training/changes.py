"""Refuses settings that differ from those of a stored run, to resume or start from it."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from attention_lab.attention.base.default_position import AUTO
from attention_lab.config import (
  Config,
  difference_text,
  differences,
  from_stored,
  is_evaluable,
  stored_flags,
)
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.named_parts import position_of, with_position
from attention_lab.run import branch
from attention_lab.run import folder as run_folder
from attention_lab.run.checkpoint import Checkpoints
from attention_lab.tokenizer.base.vocabulary import Vocabulary
from attention_lab.training.identity import other_settings
from attention_lab.update import TrainState


def refuse_other_config(
  folder: Path, config: Config, accepted: Collection[str] = ()
) -> None:
  """Raise `UserError` naming the settings in which a folder's run differs, if any.

  Args:
    folder: the folder of a run; one without a run is accepted.
    config: the configuration to run, with the run's seed.
    accepted: settings that may differ.
  """
  stored = run_folder.stored_config(folder)
  if stored is None:
    return
  path = folder / run_folder.CONFIG
  different = other_settings(stored, config, path)
  before, _ = different.get("position", (None, None))
  if config.position == AUTO and before == position_of(config):
    del different["position"]  # The run recorded what was chosen.
  for key in accepted:
    different.pop(key, None)
  earlier = from_stored(stored, path)
  schedule, steps = earlier.train.schedule, earlier.steps
  if different:
    longer = different.get("steps", (steps, 0))[1] > steps
    advice = _advice_to_extend(schedule, steps) if longer else ""
    raise UserError(
      f"{folder} holds a run of another configuration ({difference_text(different)}). "
      f"Type {stored_flags(different)} to resume it, or name another --workdir.{advice}"
    )


def _advice_to_extend(schedule: str, steps: int) -> str:
  """Return how to train a run further whose schedule depends on its length."""
  spec = f"continued(of={schedule!r}, at={steps})"
  return (
    f" To train it further, type {shlex.quote(f'--config.train.schedule={spec}')} too, "
    f"which keeps the last learning rate; the options then='cosine', rate=0.5 add another "
    f"decay, from half of the peak."
  )


def evaluated_otherwise(trained: Config, config: Config) -> dict[str, dict[str, Any]]:
  """Return the settings of an evaluation that differ from those of training.

  Args:
    trained: the configuration that the run was trained with.
    config: the configuration of the evaluation.

  Returns:
    Setting → its value "trained" and "evaluated".
  """
  return {
    key: {"trained": old, "evaluated": new}
    for key, (old, new) in differences(trained, with_position(config)).items()
    if is_evaluable(key)
  }


def text(changed: Mapping[str, Mapping[str, Any]]) -> str:
  """Return the result of `evaluated_otherwise` as text: "batch_size 8 → 16"."""
  return ", ".join(
    f"{key} {x['trained']!r} → {x['evaluated']!r}" for key, x in changed.items()
  )


def trained(folder: Path) -> Config:
  """Return the configuration that the run in a folder was trained with."""
  return from_stored(branch.stored_config(str(folder)), folder / run_folder.CONFIG)


def refuse_other_source(
  config: Config, vocabulary: Vocabulary, state: TrainState, folders: Sequence[Path]
) -> None:
  """Raise `UserError` if the run of --from does not go with a new run.

  Runs that have checkpoints no longer need it.

  Args:
    config: the configuration of the new run.
    vocabulary: that of its dataset.
    state: shapes and dtypes of its state.
    folders: the folders of the new runs.
  """
  source, train = config.train.start_from, config.train
  places = [Checkpoints(folder / run_folder.CHECKPOINTS, 1) for folder in folders]
  if not source or (places and all(place.paths() for place in places)):
    return
  why = f"--from={source}: this run was trained"
  refuse_other_vocabulary(why, Path(source), vocabulary)
  branch.read(source, state, config.evaluation.checkpoint, train.from_optimizer)


def refuse_other_vocabulary(why: str, folder: Path, new: Vocabulary) -> None:
  """Raise `UserError` unless a run was trained with a vocabulary.

  Args:
    why: the beginning of the message.
    folder: the run's folder.
    new: the vocabulary.
  """
  experiment = assemble(trained(folder), run_folder.kept(folder))
  branch.refuse_other_vocabulary(why, experiment.dataset.vocabulary, new)
