"""Exceptions that come from a mistake of the user, or from the machine."""

import contextlib
from collections.abc import Iterator

from attention_lab.errors import UserError, one_line
from attention_lab.plugin import attribution
from attention_lab.system import memory, platforms, stdout


def behind(error: BaseException) -> UserError | None:
  """Return the user's error behind an exception; None if it is one of this package."""
  return (
    stdout.no_room(error)
    or memory.out_of_memory(error)
    or platforms.missing(error)
    or attribution.of_plugin(error)
  )


@contextlib.contextmanager
def running(what: str) -> Iterator[None]:
  """Raise `UserError` for an exception in code that may be a plugin's; `what` names it."""
  try:
    yield
  except UserError:
    raise
  except (Exception, SystemExit) as error:  # A plugin may call sys.exit.
    raise UserError(f"{what} fails: {one_line(error)}.") from error
