"""Standard output that cannot be written to: a full disk, or a reader that has gone."""

import contextlib
import errno
import os
import select
import sys

from attention_lab.errors import UserError

# What the system says where there is no room, or where nothing may be written.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def drop_output() -> None:
  """Lets what is still printed, also at the end, go nowhere."""
  with contextlib.suppress(OSError, ValueError):  # A stand-in has no descriptor.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def settle() -> None:
  """Prints what waits to be printed, or lets it go nowhere where that is impossible."""
  try:
    sys.stdout.flush()
  except OSError:
    drop_output()


def is_read() -> bool:
  """Whether somebody still reads what is printed; `head` leaves early."""
  with contextlib.suppress(OSError, ValueError):  # A stand-in has no descriptor.
    asked = select.poll()
    asked.register(sys.stdout.fileno(), select.POLLOUT)
    return not any(state & select.POLLERR for _, state in asked.poll(0))
  return True


def no_room(error: BaseException) -> UserError | None:
  """What the user is told of something that could not be written, a file or what is
  printed; None of other errors."""
  if not isinstance(error, OSError) or error.errno not in NO_ROOM:
    return None
  where = f" to {error.filename}" if error.filename else ""
  return UserError(
    f"Cannot write{where}: {error.strerror}. Make room, and type the same again."
  )
