"""File locks: one process at a time holds a file; the kernel releases it at exit."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from attention_lab.errors import UserError


def take(file: IO[Any], wait: bool) -> bool:
  """Lock an open file, as long as this process or a child has it open.

  Args:
    file: the open file.
    wait: whether to wait until the lock is free.

  Returns:
    Whether the lock was acquired.
  """
  try:
    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
  except BlockingIOError:
    return False
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
    opened = open(path, "a+", encoding="utf-8")  # noqa: SIM115  (closed below)
  except OSError as error:
    raise UserError(f"Cannot write to {path}: {error.strerror}. {remedy}") from None
  with opened as file:
    if not take(file, wait=False):
      raise UserError(f"{path.parent} is in use by {_holder(file)}. {remedy}")
    file.truncate(0)
    file.write(f"{os.getpid()} {socket.gethostname()}\n")
    file.flush()
    yield


def _holder(file: IO[str]) -> str:
  file.seek(0)
  pid, _, host = file.read().strip().partition(" ")
  return f"process {pid} on {host}" if host else "another process"
