"""Refuses runs whose checkpoints or folder are lost."""

import math
from collections.abc import Sequence
from pathlib import Path

from attention_lab.errors import UserError
from attention_lab.run.checkpoint import Checkpoints, common_steps
from attention_lab.run.folder import (
  CHECKPOINTS,
  CONFIG,
  METRICS,
  SAVED,
  SUMMARY,
  stored_config,
)
from attention_lab.run.metrics_file import records
from attention_lab.system.files import is_missing


def refuse_lost_checkpoints(workdirs: Sequence[Path]) -> None:
  """Raise `UserError` if runs have saved checkpoints, and none is left to resume from.

  Args:
    workdirs: the folders of runs that train together, from a step that all have saved.
  """
  saved = [workdir for workdir in workdirs if _has_saved(workdir)]
  each = [Checkpoints(workdir / CHECKPOINTS, 1) for workdir in workdirs]
  for workdir, own in zip(workdirs, each, strict=True):
    if workdir in saved and not own.paths():
      raise UserError(
        f"The run in {workdir} has no checkpoint left, so it cannot be resumed. Restore "
        f"{workdir / CHECKPOINTS}, name another --workdir, or remove {workdir} to train "
        f"from the start."
      )
  if saved and not common_steps(each):
    steps = ", ".join(f"{own.last_step()} in {own.folder}" for own in each)
    raise UserError(
      f"The seeds have no checkpoint of one step in common (the last ones: {steps}), so "
      f"they cannot be resumed together. Resume each alone in its own folder, or name "
      f"another --workdir."
    )


def _has_saved(workdir: Path) -> bool:
  """Return whether a run has ever saved a checkpoint.

  Earlier versions left no mark of it: a run with a record of a step beyond that of its
  first checkpoint has saved this one.
  """
  if not all(is_missing(workdir / name) for name in (SAVED, SUMMARY)):
    return True
  stored = stored_config(workdir) or {}
  every = stored.get("checkpoint", {}).get("every", math.inf)
  return any(record["step"] > every for record in records(workdir / METRICS))


def refuse_lost_folder(workdir: Path) -> None:
  """Raise `UserError` if a run's folder was removed or renamed while it trains."""
  if is_missing(workdir / CONFIG):
    raise UserError(
      f"{workdir / CONFIG} is gone: the folder was removed or renamed while the run "
      f"trained, so it stops. Leave the folder in place, and train again."
    )
