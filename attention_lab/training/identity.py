"""Identity of a checkpoint: the settings, the code and the data of the run that wrote it.

It stands in the checkpoint's meta data, so that the checkpoint of another run is refused
though its arrays fit. Checkpoints of earlier versions have none, and are used.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attention_lab.config import (
  Config,
  difference_text,
  differences,
  flatten,
  from_stored,
  is_resumable,
)
from attention_lab.errors import UserError
from attention_lab.run import code as run_code
from attention_lab.run import folder as run_folder
from attention_lab.run.checkpoint import step_of
from attention_lab.schedule.base.schedule import continues, depends_on_steps
from attention_lab.system.code_hash import changes
from attention_lab.training.meta import refuse_malformed_meta

REMEDY = "Remove it if it is not of this run, or name another --workdir."


def identity(config: Config, code: Mapping[str, str], data: str) -> dict[str, Any]:
  """Return what a run writes into its checkpoints, besides their step.

  Args:
    config: the configuration, with the run's seed.
    code: hashes of the code that the run's numbers depend on.
    data: sha256 of the data.
  """
  settings = flatten(config.to_dict())
  return {
    "settings": {key: value for key, value in settings if not is_resumable(key)},
    "code": dict(code),
    "data": data,
  }


def refuse_foreign(
  folder: Path,
  config: Config,
  code: Mapping[str, str],
  path: Path,
  meta: Mapping[str, Any],
) -> None:
  """Raise `UserError` if another run than that of a folder wrote a checkpoint.

  Args:
    folder: the run's folder.
    config: its configuration, with its seed.
    code: hashes of today's code.
    path: the checkpoint.
    meta: its meta data.
  """
  refuse_malformed_meta(path, meta)
  written = meta.get("identity")
  if written is None:
    return
  if different := other_settings(written["settings"], config, path):
    raise UserError(
      f"{path} was written with other settings than {folder / run_folder.CONFIG} has "
      f"({difference_text(different)}). Restore the file that was changed, or name "
      f"another --workdir."
    )
  if step_of(path) != written["step"]:
    raise UserError(
      f"{path} has the name of step {step_of(path)} and the state of step "
      f"{written['step']}. Rename or remove it."
    )
  recorded = run_folder.stored_config(folder) is not None
  if recorded and run_folder.recorded_data(folder) != written["data"]:
    raise UserError(f"{path} is of a run on other data than that in {folder}. {REMEDY}")
  known = [*run_folder.recorded_codes(folder), dict(code)]
  if written["code"] not in known and config.checkpoint.changed_code == "refuse":
    changed = run_code.named(changes(written["code"], code))
    raise UserError(
      f"{path} was written by code that the run in {folder} has never had ({changed}). "
      f"{REMEDY} --config.checkpoint.changed_code=accept uses it all the same."
    )


def other_settings(
  stored: Mapping[str, Any], config: Config, path: Path
) -> dict[str, tuple[Any, Any]]:
  """Return the settings that make a configuration another run: key → (stored, new).

  Args:
    stored: the settings of a run, as they were stored by this or an earlier version.
    config: the configuration.
    path: the file that they were stored in.
  """
  earlier = from_stored(stored, path)
  different = differences(earlier, config)
  schedule = config.train.schedule
  if continues(schedule, earlier.train.schedule, earlier.steps):
    for key in ("steps", "train.schedule"):
      different.pop(key, None)
  if "steps" in different and not depends_on_steps(schedule):
    del different["steps"]  # More steps of the same schedule: the same run, longer.
  return different
