"""Errors for users, on one line: what was wrong, what is allowed, what to type."""

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
  """A mistake that the user can fix. `main` prints its message and exits with 2."""


def nearest(name: str, known: Iterable[str]) -> str:
  """Return the known name closest to `name` as a question, or else all known names."""
  known = sorted(known)
  close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
  if close:
    return f"Did you mean {close[0]!r}?"
  return f"Known: {', '.join(known) or 'none'}."


def one_line(error: BaseException, within: str = "") -> str:
  """Return an exception on a single line, with the line of the user's file that raised.

  Args:
    error: the exception.
    within: the user's file; "" for the last file of the traceback that may be one.
  """
  text = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
  if isinstance(error, SyntaxError):  # Its message names the line.
    return text
  for frame in reversed(traceback.extract_tb(error.__traceback__)):
    path = Path(frame.filename)
    if path.resolve() == Path(within).resolve() if within else _is_users(path):
      return f"{text} ({path.name}, line {frame.lineno})"
  return text


def _is_users(path: Path) -> bool:
  """Return whether a file belongs neither to this package nor to its libraries."""
  between = {"importlib", "jax", "haiku"} & set(path.parts)
  ours = path.is_relative_to(Path(__file__).parent)
  return not (ours or between or str(path).startswith("<frozen"))
