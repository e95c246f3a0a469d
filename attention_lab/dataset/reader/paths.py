"""Paths of data that the user names."""

import glob
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from attention_lab.errors import UserError
from attention_lab.system.files import user_cache


def unreadable(path: Path, error: OSError) -> UserError:
  """Return the error of a file that cannot be read."""
  return UserError(
    f"Cannot read {path}: {error.strerror}. Paths start at the current folder or at "
    f"--data_dir."
  )


def find_files(pattern: str, data_dir: str) -> list[Path]:
  """Return the files that a path or a pattern names, sorted.

  Args:
    pattern: the path, or a pattern in which "**" stands for any folders.
    data_dir: folder to search if the current one has no such file; "" for none.

  Raises:
    UserError: there is none.
  """
  for folder in ("", data_dir):
    path = os.path.join(*(os.path.expanduser(each) for each in (folder, pattern)))
    found = [path] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))
    if found:
      return [Path(each) for each in found]
  places = f"the current folder or {data_dir}" if data_dir else "the current folder"
  raise UserError(f"No file matches {pattern!r}, searched for from {places}.")


def files_below(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
  """Yield the files below a folder whose names end in a suffix, sorted; hidden ones not."""
  for place, folders, names in os.walk(folder):
    folders[:] = sorted(name for name in folders if not name.startswith("."))
    for name in sorted(names):
      if name.endswith(suffixes) and not name.startswith("."):
        yield Path(place, name)


def refuse_irregular(path: Path) -> os.stat_result:
  """Return the status of a file; raise `UserError` if it is a device, a pipe or missing.

  Reading a device or a pipe may never end.
  """
  try:
    status = os.stat(path)
  except OSError as error:
    raise unreadable(path, error) from None
  if not stat.S_ISREG(status.st_mode):
    kinds = {
      stat.S_IFDIR: "a folder",
      stat.S_IFIFO: "a pipe",
      stat.S_IFSOCK: "a socket",
    }
    kind = kinds.get(stat.S_IFMT(status.st_mode), "a device")
    raise UserError(f"{path} is {kind}, not a regular file.")
  return status


def cache_root(data_dir: str) -> Path:
  """Return the folder of files made of data: --data_dir if it is writable."""
  given = Path(data_dir).expanduser()
  return given if data_dir and _is_writable(given) else user_cache() / "data"


def _is_writable(folder: Path) -> bool:
  """Return whether the folder's mode allows writing; root may write anywhere."""
  return os.access(folder, os.W_OK) and bool(os.stat(folder).st_mode & 0o222)
