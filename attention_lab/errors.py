"""Mistakes of users, told in one line: what was wrong, what is allowed, what to type."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
  """A mistake that the user can mend. `main` prints its one line and exits with 2."""


def nearest(name: str, known: Iterable[str]) -> str:
  """The known name closest to `name` as a question, or else all that is known."""
  known = sorted(known)
  close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
  if close:
    return f"Did you mean {close[0]!r}?"
  return f"Known: {', '.join(known) or 'none'}."


def one_line(error: BaseException) -> str:
  """`error` with its type on a single line, for messages that quote a foreign exception."""
  return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
