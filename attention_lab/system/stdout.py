"""Standard streams that are closed, full, or cannot show every character."""

import contextlib
import errno
import io
import os
import select
import sys

from attention_lab.errors import UserError

# Error numbers of a full or read-only file system.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def prepare() -> None:
  """Make the standard streams usable, whatever the command was started with.

  Descriptors that are closed become the null device: files that are opened later would
  otherwise take their numbers, and receive what is printed. Characters that the encoding
  of a terminal does not have are printed as escapes.
  """
  for number, name in enumerate(("stdin", "stdout", "stderr")):
    if getattr(sys, name) is None:
      with contextlib.suppress(OSError):
        os.fstat(number)
        continue
      mode = os.O_WRONLY if number else os.O_RDONLY
      null = os.open(os.devnull, mode)  # The lowest free descriptor: `number`.
      setattr(sys, name, os.fdopen(null, "w" if number else "r", encoding="utf-8"))
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors="backslashreplace")


def drop_output() -> None:
  """Redirect standard output to the null device, also for the flush at exit."""
  with contextlib.suppress(OSError, ValueError):  # A replaced stream has no descriptor.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def settle() -> None:
  """Flush standard output; discard it if that fails."""
  try:
    sys.stdout.flush()
  except OSError:
    drop_output()


def is_read() -> bool:
  """Return whether standard output still has a reader; `head` closes it early."""
  with contextlib.suppress(OSError, ValueError):  # A replaced stream has no descriptor.
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    return not any(state & select.POLLERR for _, state in poll.poll(0))
  return True


def no_room(error: BaseException) -> UserError | None:
  """Return the user's error for a full or read-only file system; None for others."""
  if not isinstance(error, OSError) or error.errno not in NO_ROOM:
    return None
  where = f" to {error.filename}" if error.filename else ""
  return UserError(
    f"Cannot write{where}: {error.strerror}. Free some space, and repeat the command."
  )
