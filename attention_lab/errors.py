"""Mistakes of users, told in one line: what was wrong, what is allowed, what to type."""

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
  """A mistake that the user can mend. `main` prints its one line and exits with 2."""


def nearest(name: str, known: Iterable[str]) -> str:
  """The known name closest to `name` as a question, or else all that is known."""
  known = sorted(known)
  close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
  if close:
    return f"Did you mean {close[0]!r}?"
  return f"Known: {', '.join(known) or 'none'}."


def one_line(error: BaseException, within: str = "") -> str:
  """A foreign exception on a single line, with the line of the user's file at fault.

  Args:
    error: the exception.
    within: the user's file, if it is known; else the last on the trace that may be one.
  """
  text = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
  if isinstance(error, SyntaxError):  # It says itself where it is.
    return text
  for frame in reversed(traceback.extract_tb(error.__traceback__)):
    path = Path(frame.filename)
    if path.resolve() == Path(within).resolve() if within else _is_users(path):
      return f"{text} ({path.name}, line {frame.lineno})"
  return text


def _is_users(path: Path) -> bool:
  """Whether a file on a trace is neither ours nor of what we call."""
  between = {"importlib", "jax", "haiku"} & set(path.parts)
  ours = path.is_relative_to(Path(__file__).parent)
  return not (ours or between or str(path).startswith("<frozen"))
