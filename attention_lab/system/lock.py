"""File locks: one process at a time holds a file; the kernel releases it at exit.

Some network file systems have no such locks. There, a second file that only one process
can create stands for the lock; one that a dead process of this machine left is taken over.
"""

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from attention_lab.errors import UserError
from attention_lab.system.regular import no_follow, read_regular

try:
  import fcntl
except ImportError:  # On Windows.
  fcntl = None  # type: ignore[assignment]

# Error numbers of file systems without locks.
WITHOUT = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
HELD = ".held"  # Suffix of the file that stands for a lock.
_warned: list[Path] = []


class Unsupported(Exception):
  """The file system has no locks."""


def take(file: IO[Any], wait: bool) -> bool:
  """Lock an open file, as long as this process or a child has it open.

  On a file system without locks it counts as acquired.

  Args:
    file: the open file.
    wait: whether to wait until the lock is free.

  Returns:
    Whether the lock was acquired.
  """
  try:
    return _lock(file, wait)
  except Unsupported:
    return True


@contextlib.contextmanager
def alone(path: Path, remedy: str) -> Iterator[None]:
  """Hold a lock file, whose content names the process and host that hold it.

  Args:
    path: the file. It is not removed, so that all processes lock the same file.
    remedy: what the user can do if another process holds it.

  Raises:
    UserError: another process holds it, or it cannot be opened.
  """
  try:
    # Closed by the next `with`.
    opened = open(path, "a+", encoding="utf-8", errors="replace", opener=no_follow)  # noqa: SIM115
  except OSError as error:
    cause = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
    raise UserError(f"Cannot write to {path}: {cause}. {remedy}") from None
  with opened as file, contextlib.ExitStack() as stack:
    try:
      acquired = _lock(file, wait=False)
    except Unsupported:
      acquired = stack.enter_context(_exclusive_file(path))
    except OSError as error:
      raise UserError(f"Cannot lock {path}: {error.strerror}. {remedy}") from None
    if not acquired:
      raise UserError(f"{path.parent} is in use by {_holder(file)}. {remedy}")
    file.truncate(0)
    file.write(_this_process())
    file.flush()
    yield


def _lock(file: IO[Any], wait: bool) -> bool:
  """Return whether the lock of an open file was acquired; raise `Unsupported`."""
  if fcntl is None:
    raise UserError("attention_lab runs on Linux and macOS; on Windows, use WSL.")
  try:
    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
  except BlockingIOError:
    return False
  except OSError as error:
    if error.errno in WITHOUT:
      raise Unsupported from None
    raise
  return True


@contextlib.contextmanager
def _exclusive_file(path: Path) -> Iterator[bool]:
  """Create a file that stands for the lock, and remove it at the end.

  Yields whether it was created: false if a process that may be alive has created it.
  """
  held = path.with_name(path.name + HELD)
  if path not in _warned:
    _warned.append(path)
    print(
      f"warning: the file system of {path.parent} has no locks; {held.name} stands for "
      f"one. Remove it if a machine that held it has stopped.",
      file=sys.stderr,
    )
  _remove_of_dead_process(held)
  try:
    descriptor = os.open(held, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
  except FileExistsError:
    yield False
    return
  with os.fdopen(descriptor, "w", encoding="utf-8") as file:
    file.write(_this_process())
  try:
    yield True
  finally:
    held.unlink(missing_ok=True)


def _remove_of_dead_process(held: Path) -> None:
  """Remove the file of a process of this machine that no longer runs."""
  with contextlib.suppress(OSError, ValueError, UserError):
    pid, _, host = read_regular(held).decode("utf-8").strip().partition(" ")
    if host == socket.gethostname() and not _is_running(int(pid)):
      held.unlink()


def _is_running(pid: int) -> bool:
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return False
  except PermissionError:
    pass
  return True


def _this_process() -> str:
  return f"{os.getpid()} {socket.gethostname()}\n"


def _holder(file: IO[str]) -> str:
  file.seek(0)
  pid, _, host = file.read().strip().partition(" ")
  return f"process {pid} on {host}" if host else "another process"
