"""Padding: negative positions are ignored, and empty rows of the mask stay finite."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from attention_lab.conformance.causality import ROUNDING
from attention_lab.conformance.inputs import BATCH, LONG, SHORT, distance, infinite
from attention_lab.conformance.law import Case, Error, law
from attention_lab.conformance.subject import Subject

PLACES = ("in front", "behind", "inside")


def padded(length: int, place: str, padding: int | None = None) -> np.ndarray:
  """Return positions [T] with padding at a place, by default of a third of the tokens."""
  padding = length // 3 if padding is None else padding
  real = np.ones(length, bool)
  if place == "in front":
    real[:padding] = False
  elif place == "behind":
    real[length - padding :] = False
  else:  # Neither the first token nor the last; runs of several lengths.
    real[1 + np.random.default_rng(0).permutation(length - 2)[:padding]] = False
  return np.where(real, np.cumsum(real) - 1, -1).astype(np.int32)


def lengths(subject: Subject, causal: bool) -> list[int]:
  """Return the lengths of sequences with padding."""
  quick = LONG if causal else SHORT
  every = (SHORT, LONG) if subject.full else (quick,)
  return [n for n in every if n <= subject.reach]


def unless_padded(subject: Subject) -> str:
  """Return why laws about padding are not applicable; "" if they are."""
  return "" if subject.takes_padding else "apply takes no `positions`"


@law(
  "padding content is not read",
  "the mask ignores that context positions < 0 are padding, or a cache or sum includes it",
  unless_padded,
)
def padding_content_is_not_read(subject: Subject) -> Iterator[Case]:
  """Require that vectors at negative positions change no output at other positions."""
  yield from _with_padding(subject, _change)


def _change(subject: Subject, positions: np.ndarray, causal: bool) -> Error:
  """Return the largest change if the content of padding changes."""
  x = subject.inputs(length=positions.shape[1])
  real = positions[0] >= 0
  other = np.where(real[:, None], x, 100 * x)
  y, changed = (subject.run(z, positions, causal=causal) for z in (x, other))
  return largest_change(changed[:, real], y[:, real], np.flatnonzero(real))


def _unless_ignored(subject: Subject) -> str:
  if subject.ignores_padding or subject.causal:
    return unless_padded(subject)
  return "ignores_padding = False is declared"


@law(
  "padding is ignored",
  "a normaliser, a mean or a position counts padding",
  _unless_ignored,
)
def padding_is_ignored(subject: Subject) -> Iterator[Case]:
  """Require the same outputs with padding as without it."""
  yield from _with_padding(subject, _difference)


def _difference(subject: Subject, positions: np.ndarray, causal: bool) -> Error:
  """Return the largest difference from the outputs without padding."""
  x = subject.inputs(length=positions.shape[1])
  real = positions[0] >= 0
  y = subject.run(x, positions, causal=causal)[:, real]
  reference = subject.run(x[:, real], causal=causal)
  return largest_change(y, reference, np.flatnonzero(real))


def _with_padding(
  subject: Subject, measure: Callable[[Subject, np.ndarray, bool], Error]
) -> Iterator[Case]:
  """Yield a case for each mode, length and place of padding."""
  for causal in subject.modes:
    for length in lengths(subject, causal):
      for place in PLACES:
        positions = np.tile(padded(length, place), (BATCH, 1))
        error = partial(measure, subject, positions, causal)
        yield Case(_label(length, place, causal), error, ROUNDING)


def _label(length: int, place: str, causal: bool) -> str:
  mode = "" if causal else ", bidirectional"
  return f"T={length}{mode}, {length // 3} tokens of padding {place}"


@law(
  "fully masked rows are finite",
  "a softmax over no tokens divides by zero; mask with a finite number, then zero the row",
  unless_padded,
)
def masked_rows_are_finite(subject: Subject) -> Iterator[Case]:
  """Require finite outputs and gradients where a query may attend to no token."""
  x = subject.inputs()
  padding = np.full(x.shape[:2], -1, np.int32)
  first_row = padding.copy()
  first_row[1:] = np.arange(SHORT)

  def failures(positions: np.ndarray) -> float:
    params = subject.random_parameters()
    result = subject.gradient(x, positions, np.ones_like(x), params)
    return infinite(result)

  for label, positions in (("all", padding), ("the first row", first_row)):
    case = f"T={SHORT}, {label} padding, outputs or gradients not finite"
    yield Case(case, partial(failures, positions), 0.0)


def largest_change(
  actual: np.ndarray, expected: np.ndarray, tokens: np.ndarray
) -> Error:
  """Return the distance of outputs [B, T, D], and the row and token where it is largest."""
  error = distance(actual, expected)
  if not error:
    return 0.0
  each = np.abs(actual.astype(np.float64) - expected).max(axis=2)
  row, column = np.unravel_index(np.argmax(np.nan_to_num(each, nan=np.inf)), each.shape)
  return error, f"row {row}, output {tokens[column]}"
