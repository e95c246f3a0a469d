"""Opening of files in folders that may be someone else's: no link is followed.

A link could lead out of the folder, a pipe would be waited on for ever, and a device has
no end.
"""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from attention_lab.errors import UserError


def no_follow(path: str, flags: int) -> int:
  """Open a file as `opener` of `open` does; what is not a regular file is an `OSError`."""
  # Without O_NONBLOCK, a pipe is waited on.
  descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
  if not stat.S_ISREG(os.fstat(descriptor).st_mode):
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is not a regular file", path)
  return descriptor


def read_regular(path: Path) -> bytes:
  """Return the content of a regular file.

  Raises:
    UserError: it is a link, a pipe, a device or a folder.
    OSError: it cannot be read.
  """
  try:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
  except OSError as error:
    if error.errno == errno.ELOOP:
      raise UserError(f"{path} is a symbolic link; links are not followed.") from None
    raise
  if not stat.S_ISREG(os.fstat(descriptor).st_mode):
    os.close(descriptor)
    raise UserError(f"{path} is not a regular file.")
  with open(descriptor, "rb") as file:
    return file.read()


def refuse_link(path: Path) -> None:
  """Raise `UserError` if a file or folder is a symbolic link."""
  if path.is_symlink():
    raise UserError(
      f"{path} is a symbolic link, through which other folders could be changed. Replace "
      f"it by a folder, or name another --workdir."
    )


def refuse_links_between(root: Path, path: Path) -> None:
  """Raise `UserError` if a path below a folder leads through a symbolic link.

  Args:
    root: the folder, which may be a link: the user named it.
    path: below it; it need not exist.
  """
  for parent in (*reversed(path.relative_to(root).parents), path.relative_to(root)):
    if parent.parts:
      refuse_link(root / parent)


def refuse_links_below(folder: Path) -> None:
  """Raise `UserError` if a folder, or anything in it, is a symbolic link."""
  refuse_link(folder)
  for place, folders, files in os.walk(folder):
    for name in (*folders, *files):
      refuse_link(Path(place, name))


@contextlib.contextmanager
def kept_if_possible(path: Path) -> Iterator[None]:
  """Warn about a file that cannot be written, as in someone else's folder."""
  try:
    yield
  except OSError as error:
    print(f"warning: {path} could not be kept: {error.strerror}.", file=sys.stderr)
