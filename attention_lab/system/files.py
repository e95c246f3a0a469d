"""Files that exist completely or not at all, even after a power failure."""

import contextlib
import errno
import hashlib
import json
import math
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from attention_lab.errors import UserError
from attention_lab.system import lock as locks
from attention_lab.system.regular import no_follow, read_regular

SUFFIX = ".partial"  # Suffix of files that are being written.
DEEPEST = 64  # Levels of nesting of JSON that is read.
ROOM = "Free some space, and resume with the same --workdir; its checkpoints are whole."
RESUME = "Resume with the same --workdir once it can be written to."
# Error numbers of a full disk, a quota, and a limit of a file's size.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
GONE = "The folder was removed or renamed while it was in use."
# Error numbers of a path that nothing has.
MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def is_missing(path: Path) -> bool:
  """Return whether nothing has this path.

  An error of the disk, or a lack of permission, does not count as absence.
  """
  try:
    os.lstat(path)
  except OSError as error:
    return error.errno in MISSING
  return False


@contextlib.contextmanager
def writing(path: Path, remedy: str = "") -> Iterator[None]:
  """Convert an `OSError` raised in the context, as by a full disk, to a `UserError`.

  Args:
    path: the path that is written to, for the message.
    remedy: what the user can do; "" for the advice of `advice_after`.
  """
  try:
    yield
  except OSError as error:
    advice = remedy or advice_after(error)
    raise UserError(f"Cannot write to {path}: {error.strerror}. {advice}") from None


def advice_after(error: OSError) -> str:
  """Return what the user can do after an error of writing to a run's folder."""
  if isinstance(error, FileNotFoundError):
    return GONE
  return ROOM if error.errno in FULL else RESUME


def write_atomically(
  folder: Path, write: Callable[[IO[bytes]], Any], name: Callable[[IO[bytes]], str]
) -> Path:
  """Write a file under a temporary name, sync it to the disk, and rename it.

  Args:
    folder: an existing folder.
    write: writes the content.
    name: returns the final name, given the written file.

  Returns:
    The path of the file.
  """
  partial = folder / f".{secrets.token_hex(8)}{SUFFIX}"  # Unique on shared disks too.
  try:
    with open(partial, "x+b") as file:
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


def write_file(path: Path, content: bytes) -> None:
  """Write a file atomically."""
  write_atomically(path.parent, lambda file: file.write(content), lambda _: path.name)


def sha256_of(path: Path) -> str:
  """Return the sha256 of a file, in hex."""
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def remove_partial(folder: Path) -> None:
  """Remove the unfinished files of a killed process; no other may be writing there."""
  for partial in folder.glob(f".*{SUFFIX}"):
    partial.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
  """Write indented JSON atomically; numbers as in `finite_or_named`."""
  text = json.dumps(finite_or_named(content), indent=2, allow_nan=False) + "\n"
  write_file(path, text.encode())


def finite_or_named(content: Any) -> Any:
  """Replace numbers that are not finite, which JSON does not have, by strings."""
  if isinstance(content, dict):
    return {key: finite_or_named(value) for key, value in content.items()}
  if isinstance(content, list | tuple):
    return [finite_or_named(value) for value in content]
  if isinstance(content, float) and not math.isfinite(content):
    return str(content)
  return content


def read_json(path: Path) -> Any:
  """Return the content of a JSON file; raise `UserError` if it cannot be read."""
  try:
    return parse_json(read_regular(path))
  except OSError as error:
    raise UserError(f"Cannot read {path}: {error.strerror}.") from None
  except ValueError as error:
    raise UserError(f"{path} is not JSON: {error}.") from None


def parse_json(content: bytes) -> Any:
  """Return the value that JSON text, perhaps someone else's, stands for.

  Raises:
    ValueError: it is not JSON in UTF-8, names a field twice, is nested more than `DEEPEST`
      times, or has text that UTF-8 does not have.
  """
  text = content.decode("utf-8")
  try:
    value = json.loads(text, object_pairs_hook=_distinct)
    if _is_deeper(value, DEEPEST):
      raise RecursionError
  except RecursionError:
    raise ValueError(f"it is nested more than {DEEPEST} times") from None
  if "\\u" in text:  # Half of a pair is a character that cannot be written again.
    json.dumps(value, ensure_ascii=False).encode("utf-8")
  return value


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
  """Return an object of JSON; raise `ValueError` if it names a field twice."""
  found = dict(pairs)
  if len(found) < len(pairs):
    names = [name for name, _ in pairs]
    twice = next(name for name in found if names.count(name) > 1)
    raise ValueError(f"it has the field {twice!r} twice")
  return found


def _is_deeper(value: Any, levels: int) -> bool:
  """Return whether a value of JSON has more than this many levels of nesting."""
  if not isinstance(value, dict | list):
    return False
  inner = value.values() if isinstance(value, dict) else value
  return not levels or any(_is_deeper(each, levels - 1) for each in inner)


def make_folder(path: Path, flag: str, new: bool = False) -> None:
  """Make a folder if it does not exist; raise `UserError` if it is not writable.

  Args:
    path: the folder.
    flag: the flag that names another folder, for messages.
    new: whether the folder must not exist yet.
  """
  with writing(path, f"Name another folder with --{flag}=..."):
    path.mkdir(parents=True, exist_ok=not new)
    write_atomically(path, lambda file: None, lambda _: ".writable")
    # Another process that tests the same folder may have removed the file.
    (path / ".writable").unlink(missing_ok=True)


def made_once(path: Path, make: Callable[[Path], Any], flag: str) -> Path:
  """Return a file that one process makes if it is missing, while the others wait.

  Args:
    path: the file; its folder holds only this file and files made with it.
    make: makes the file, and other files of its folder before it, by `write_atomically`;
      it is called again after an interruption.
    flag: the flag that names another folder, for messages.

  Raises:
    UserError: the folder cannot be written to, or is full.
  """
  if os.path.exists(path):
    return path
  make_folder(path.parent.parent, flag)
  with writing(path.parent, f"Name another folder with --{flag}=..."):
    path.parent.mkdir(exist_ok=True)
    with open(path.parent / ".lock", "w", opener=no_follow) as lock:
      locks.take(lock, wait=True)
      if not os.path.exists(path):
        remove_partial(path.parent)
        make(path)
  return path


def _sync_folder(folder: Path) -> None:
  """Sync a folder, which makes a rename durable."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def user_cache() -> Path:
  """Return the user's folder of files that can be computed or downloaded again."""
  if root := os.environ.get("XDG_CACHE_HOME"):
    return Path(root) / "attention_lab"
  try:
    return Path.home() / ".cache" / "attention_lab"
  except RuntimeError:  # A user without an entry and without HOME, as in a container.
    return Path(tempfile.gettempdir()) / f"attention_lab-{os.getuid()}"
