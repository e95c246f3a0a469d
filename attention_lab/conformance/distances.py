"""Distances: under a relative scheme, outputs depend on differences of positions alone."""

from collections.abc import Iterator
from functools import partial

from attention_lab.conformance.causality import ROUNDING
from attention_lab.conformance.inputs import LONG, SHORT, positions_of
from attention_lab.conformance.law import Case, Error, law
from attention_lab.conformance.padding import largest_change
from attention_lab.conformance.subject import Subject


def _unless_relative(subject: Subject) -> str:
  if not subject.relative:
    return "relative = False is declared"
  if subject.position is not None:
    return "it is tested under the rotation of rope and the bias of alibi"
  return "" if subject.hooks else "it honours neither rotation nor bias"


@law(
  "outputs depend on distances alone",
  "a rotation acts on queries or keys alone, or something mixes the features of a pair "
  "that it turns together, or positions themselves are used; declare relative = False if "
  "that is meant",
  _unless_relative,
)
def shifted_positions_change_nothing(subject: Subject) -> Iterator[Case]:
  """Require the same outputs if all positions are shifted alike."""
  for causal in subject.modes:
    mode = "" if causal else ", bidirectional"
    for length in (SHORT, LONG) if subject.full else (SHORT,):
      for shift in (5, 100) if subject.full else (5,):
        error = partial(_shift_error, subject, length, causal, shift)
        # Angles are rounded relative to their size.
        limit = ROUNDING * max(1, (length + shift) // SHORT)
        yield Case(f"T={length}{mode}, positions from {shift} on", error, limit)


def _shift_error(subject: Subject, length: int, causal: bool, shift: int) -> Error:
  """Return the largest change of outputs if all positions are shifted."""
  x = subject.inputs(length=length)
  at = positions_of(*x.shape[:2])
  expected, actual = (subject.run(x, own, causal=causal) for own in (at, at + shift))
  return largest_change(actual, expected, at[0])
