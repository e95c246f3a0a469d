"""A file that one process at a time holds: flock, let go of when it ends, however."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from attention_lab.errors import UserError


def take(file: IO[Any], wait: bool) -> bool:
  """Locks an open file, for as long as this process or one it starts has it open.

  Returns:
    Whether it is ours now; always where it waits for whoever holds it.
  """
  try:
    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
  except BlockingIOError:
    return False
  return True


@contextlib.contextmanager
def alone(path: Path, remedy: str) -> Iterator[None]:
  """Holds a file, which tells others who does.

  What is written in a file that nobody holds is of one that has ended: it is replaced.

  Args:
    path: the file, made if need be. It stays, so that all lock the same one.
    remedy: what to do where another process holds it.

  Raises:
    UserError: another process holds it, or it is somebody else's.
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
