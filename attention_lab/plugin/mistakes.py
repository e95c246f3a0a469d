"""Exceptions that come from a mistake of the user, or from the machine."""

from attention_lab.errors import UserError
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
