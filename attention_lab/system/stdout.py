"""Standard output that cannot be written to: a full disk, or a closed pipe."""

import contextlib
import errno
import os
import select
import sys

from attention_lab.errors import UserError

# Error numbers of a full or read-only file system.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


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
