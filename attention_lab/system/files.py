"""Files that are there whole or not at all, even when the power goes."""

import contextlib
import json
import math
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from attention_lab.errors import UserError
from attention_lab.system import lock as locks

SUFFIX = ".partial"  # Of files that are still being written.
ROOM = "Make room, and go on with the same --workdir; its checkpoints are whole."


@contextlib.contextmanager
def writing(path: Path, remedy: str = ROOM) -> Iterator[None]:
  """Raises UserError where what is written inside cannot be: a full disk, say."""
  try:
    yield
  except OSError as error:
    raise UserError(f"Cannot write to {path}: {error.strerror}. {remedy}") from None


def write_atomically(
  folder: Path, write: Callable[[IO[bytes]], Any], name: Callable[[IO[bytes]], str]
) -> Path:
  """Writes a file under a temporary name, and renames it once it is on the disk.

  Args:
    folder: an existing folder.
    write: writes the content.
    name: the final name, which may be read off the written file.

  Returns:
    The file's path.
  """
  partial = folder / f".{secrets.token_hex(8)}{SUFFIX}"  # No one else's, anywhere.
  try:
    with open(partial, "w+b") as file:
      write(file)
      file.flush()
      os.fsync(file.fileno())
      file.seek(0)
      path = folder / name(file)
    os.replace(partial, path)
  except BaseException:
    partial.unlink(missing_ok=True)
    raise
  _sync_folder(folder)
  return path


def remove_partial(folder: Path) -> None:
  """Removes what a process was writing when it was killed. Nobody else may write there."""
  for partial in folder.glob(f".*{SUFFIX}"):
    partial.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
  """Writes JSON that people can read, all of it or nothing; see `finite_or_named`."""
  text = json.dumps(finite_or_named(content), indent=2, allow_nan=False) + "\n"
  write_atomically(
    path.parent, lambda file: file.write(text.encode()), lambda _: path.name
  )


def finite_or_named(content: Any) -> Any:
  """The same, with numbers that are not finite, of which JSON has none, as strings."""
  if isinstance(content, dict):
    return {key: finite_or_named(value) for key, value in content.items()}
  if isinstance(content, list | tuple):
    return [finite_or_named(value) for value in content]
  if isinstance(content, float) and not math.isfinite(content):
    return str(content)
  return content


def read_json(path: Path) -> Any:
  """The content of a JSON file; raises UserError if it cannot be read."""
  try:
    return json.loads(path.read_text())
  except OSError as error:
    raise UserError(f"Cannot read {path}: {error.strerror}.") from None
  except ValueError as error:
    raise UserError(f"{path} is not JSON: {error}.") from None


def make_folder(path: Path, flag: str) -> None:
  """Makes a folder that can be written to; raises UserError where that is impossible."""
  with writing(path, f"Name another folder with --{flag}=..."):
    path.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: None, lambda _: ".writable")
    (path / ".writable").unlink(missing_ok=True)  # Others may try the same folder.


def made_once(path: Path, make: Callable[[Path], Any], flag: str) -> Path:
  """A file that is made where it is missing, by one process while the others wait.

  Args:
    path: the file; its folder is for it and for what is made with it alone.
    make: makes it, and before it what else belongs in its folder, by `write_atomically`.
      One that was interrupted is called again.
    flag: what names another place for it.

  Raises:
    UserError: the folder cannot be written to, or is full.
  """
  if os.path.exists(path):
    return path
  make_folder(path.parent.parent, flag)
  with writing(path.parent, f"Name another folder with --{flag}=..."):
    path.parent.mkdir(exist_ok=True)
    with open(path.parent / ".lock", "w") as lock:
      locks.take(lock, wait=True)
      if not os.path.exists(path):
        remove_partial(path.parent)
        make(path)
  return path


def _sync_folder(folder: Path) -> None:
  """Makes a rename itself durable."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def user_cache() -> Path:
  """The folder for what can be made or fetched again."""
  root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
  return Path(root) / "attention_lab"
