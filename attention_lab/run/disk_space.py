"""Checks that the disk has room for the checkpoints of a run before it starts."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.run.checkpoint import Checkpoints
from attention_lab.system.memory import bytes_of

MEGABYTE = 1e6


def bytes_to_come(
  folders: Sequence[Path], keep: int, state: Any, files: Mapping[str, bytes]
) -> int:
  """Return the size in bytes of the checkpoints that runs have still to write.

  Besides the newest `keep` checkpoints there are the best one and, while it is written,
  the next one.

  Args:
    folders: the folder of each run, on one disk.
    keep: number of newest checkpoints that a run keeps.
    state: shapes and dtypes of one run's state.
    files: contents of the files that every checkpoint holds, by name.
  """
  size = checkpoint_bytes(state, files)
  runs = [Checkpoints(folder / run_folder.CHECKPOINTS, keep) for folder in folders]
  return sum(run.to_come() * size for run in runs)


def checkpoint_bytes(state: Any, files: Mapping[str, bytes]) -> int:
  """Return the size in bytes of a checkpoint, given as in `bytes_to_come`."""
  return bytes_of(state) + sum(map(len, files.values()))


def refuse_full(folder: Path, needed: int, keep: int) -> None:
  """Raise `UserError` if checkpoints do not fit on the disk of a folder.

  Quotas, and what other processes write meanwhile, are not considered.

  Args:
    folder: where they are to be written; it need not exist.
    needed: their size in bytes.
    keep: the setting `checkpoint.keep`, for the message.
  """
  paths = (folder, *folder.absolute().parents)
  existing = next(path for path in paths if os.path.isdir(path))
  total, _, available = shutil.disk_usage(existing)
  if needed > available and total:  # A file system without a size holds no files.
    raise UserError(
      f"{folder} has {available / MEGABYTE:,.1f} MB free, and the checkpoints to come take "
      f"{needed / MEGABYTE:,.1f} MB. Free some space, keep fewer with "
      f"--config.checkpoint.keep=1 (now {keep}), or name another --workdir."
    )
