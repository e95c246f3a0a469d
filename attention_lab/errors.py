"""Errors for users, on one line: what was wrong, what is allowed, what to type."""

import difflib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

LONGEST = 600  # Characters of a message; those that say what to type need 500.
# Packages in which a mistake of a user's file may be raised.
LIBRARIES = (
  "attention_lab chex einops equinox flax haiku jax jaxlib jmp ml_dtypes numpy "
  "opt_einsum optax rich scipy"
).split()
# What to do after an exception of JAX, by its type.
REMEDIES = {
  "TracerBoolConversionError": "Use jnp.where or jax.lax.cond, not `if` on arrays",
  "TracerArrayConversionError": "Use jax.numpy, not numpy",
  "TracerIntegerConversionError": "Use jnp.take or jax.lax.dynamic_slice, not an index",
  "ConcretizationTypeError": "Values of arrays are not known while JAX traces",
  "NonConcreteBooleanIndexError": "Use jnp.where, not a boolean index",
  "UnexpectedTracerError": (
    "An array of one call was kept, as in a global or a cache, and used in another"
  ),
}


class UserError(Exception):
  """A mistake that the user can fix. `main` prints its message and exits with 2."""


def not_installed(user: str, extra: str, *packages: str) -> UserError:
  """Return the error about packages that are not installed.

  Args:
    user: what needs them, such as "--mode=compare".
    extra: the extra of the installation that brings them.
    *packages: their names.
  """
  return UserError(
    f"{user} needs {', '.join(packages)}: pip install {' '.join(packages)}, or the extra "
    f"[{extra}] of attention_lab."
  )


def printable(text: str) -> str:
  """Return a message as one line of at most `LONGEST` characters that prints as it is.

  Paths and names may hold characters that move the cursor or reverse the direction of
  what is printed; they become escapes. Of a long line, the middle is left out: it begins
  with what is wrong, and ends with what to type.
  """
  line = "".join(
    c if c.isprintable() else c.encode("unicode_escape").decode()
    for c in " ".join(text.split())
  )
  if len(line) <= LONGEST:
    return line
  end = LONGEST // 2
  return f"{line[: LONGEST - end - 3]} … {line[-end:]}"


def print_error(text: str) -> None:
  """Print an error as one line on standard error."""
  print(f"error: {printable(text)}", file=sys.stderr, flush=True)


def nearest(name: str, known: Iterable[str], otherwise: str = "") -> str:
  """Return the known name closest to `name` as a question, or else all known names.

  Args:
    name: the unknown name.
    known: the known ones.
    otherwise: what to say if none is close, where there are too many to list.
  """
  known = sorted(known)
  close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
  if close:
    return f"Did you mean {close[0]!r}?"
  return otherwise or f"Known: {', '.join(known) or 'none'}."


def one_line(error: BaseException, within: str = "") -> str:
  """Return an exception on a single line that begins with the line of the user's file.

  Args:
    error: the exception.
    within: the user's file; "" for the last file of the traceback that may be one.
  """
  if isinstance(error, SyntaxError) and error.filename and error.lineno:
    place = f"{Path(error.filename).name}, line {error.lineno}"
    return f"{place}: {type(error).__name__}: {error.msg}"
  places = [(frame.filename, frame.lineno) for frame in frames_of(error)]
  for filename, line in reversed(places):
    path = Path(filename)
    if path.resolve() == Path(within).resolve() if within else _is_users(path):
      return f"{path.name}, line {line}: {summary(error)}"
  return summary(error)


def frames_of(error: BaseException) -> list[traceback.FrameSummary]:
  """Return the frames of an exception, the most recent one last.

  Those in which a tracer was made that outlived its trace are in the message of JAX.
  """
  frames = list(traceback.extract_tb(error.__traceback__))
  if type(error).__name__ == "UnexpectedTracerError":
    made = re.findall(r"^(.+):(\d+):\d+ \((.+)\)$", str(error), flags=re.MULTILINE)
    frames += [
      traceback.FrameSummary(file, int(line), name) for file, line, name in made
    ]
  return frames


def summary(error: BaseException) -> str:
  """Return the type and message of an exception on a single line.

  Of a message of JAX, the first sentence and the remedy are returned.
  """
  name, text = type(error).__name__, str(error).strip()
  if "Traceback (most recent call last)" in text:  # The callback of a program raised.
    text = text.splitlines()[-1]
  elif type(error).__module__.split(".")[0] in ("jax", "jaxlib"):
    text = re.split(r"\.\s+(?=[A-Z])|\n\n|\n(?=[A-Z])", text)[0]
  message = " ".join(text.split()).rstrip(".")
  found = f"{name}: {message}" if message else name
  return f"{found}. {REMEDIES[name]}" if name in REMEDIES else found


def line_of(function: Callable[..., Any]) -> str:
  """Return the file and line of a function's definition, such as "mine.py, line 3"."""
  code = inspect.unwrap(function).__code__
  return f"{Path(code.co_filename).name}, line {code.co_firstlineno}"


def _is_users(path: Path) -> bool:
  """Return whether a file belongs neither to Python, to this package nor to a library."""
  if path.name.startswith("<"):  # Code without a file.
    return False
  standard = path.is_relative_to(Path(os.__file__).parent)
  if standard and "site-packages" not in path.parts:
    return False
  modules = (sys.modules.get(name) for name in LIBRARIES)
  files = (module.__file__ for module in modules if module)
  return not any(path.is_relative_to(Path(file).parent) for file in files if file)
