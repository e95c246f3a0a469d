"""Documents in one sequence: none depends on another, and each begins anew."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from attention_lab.conformance.causality import GRADIENT_ROUNDING, ROUNDING
from attention_lab.conformance.functions import SPARE
from attention_lab.conformance.inputs import BATCH, SHORT, positions_of
from attention_lab.conformance.law import Case, Error, law
from attention_lab.conformance.padding import largest_change, lengths
from attention_lab.conformance.subject import Subject, fast_jit
from attention_lab.decode.documents import batch_axes, emptied
from attention_lab.kernel.documents import begin_anew
from attention_lab.kernel.mask import Mask

# Where the documents of each row begin, as shares of the length: at chunks and between.
STARTS = ((0.0, 0.3, 0.7), (0.2, 0.5), (0.0, 0.45, 0.5, 0.95), (1 / 3,))

_begin_anew = fast_jit(begin_anew)  # One program instead of one for each operation.


class Packed(NamedTuple):
  """Rows that hold several documents."""

  mask: Mask
  x: np.ndarray  # [B, T, D]
  own: np.ndarray  # [B, T] bool: the document in each row that is looked at


def _unless_separate(subject: Subject) -> str:
  return "" if subject.separates_documents else "separates_documents is not set"


@law(
  "documents are kept apart",
  "a state, sum, convolution or cache goes on across the start of a document, or something "
  "depends on a token's place in the row; set separates_documents = False to refuse "
  "documents",
  _unless_separate,
)
def documents_are_separate(subject: Subject) -> Iterator[Case]:
  """Require that a document in a row of several has the results of a row of its own.

  The other documents of the row must change neither its outputs nor have a gradient, and a
  decode state whose rows are emptied where a document begins must give the same.
  """
  for causal in subject.modes:
    mode = "" if causal else ", bidirectional"
    for length in lengths(subject, causal):
      for aligned in (True, False) if subject.full else (True,):
        packed = _packed(subject, length, causal, aligned)
        gaps = "" if aligned else ", padding inside"
        label = f"T={length}{mode}{gaps}, documents of different lengths"
        change = partial(_change, subject, packed)
        yield Case(f"{label}, the others replaced", change, ROUNDING)
        gradient = partial(_gradient, subject, packed)
        yield Case(f"{label}, gradients by the others", gradient, GRADIENT_ROUNDING)
        if subject.ignores_padding or causal:
          difference = partial(_difference, subject, packed)
          yield Case(f"{label}, against rows of their own", difference, ROUNDING)
  if subject.decodes:
    yield Case(f"T={SHORT}, decoded", partial(_decoded, subject), 5e-5)


def _packed(subject: Subject, length: int, causal: bool, aligned: bool) -> Packed:
  """Return rows of documents; the last but one of each row is looked at, or the last."""
  starts = np.zeros((BATCH, length), bool)
  for row, shares in enumerate(STARTS):
    starts[row, [int(share * length) for share in shares]] = True
  positions = positions_of(BATCH, length)
  if not aligned:
    padding = np.arange(length) % 5 == 3
    starts[:, 1:] |= starts[:, :-1] & padding[:-1]  # The next token begins it.
    starts &= ~padding
    positions = np.where(padding, -1, np.cumsum(~padding) - 1)
    positions = np.tile(positions, (BATCH, 1)).astype(np.int32)
  at, segments = _begin_anew(positions, starts)
  mask = Mask(at, at, causal, aligned, segments, segments)
  numbers = np.asarray(segments)
  chosen = np.maximum(numbers.max(axis=1, keepdims=True) - 1, 1)
  own = (numbers == chosen) & (positions >= 0)
  return Packed(mask, subject.inputs(BATCH, length), own)


def _run(subject: Subject, packed: Packed, x: np.ndarray) -> tuple[Any, np.ndarray]:
  """Return outputs, and gradients of the outputs of one document by all vectors."""
  weights = np.random.default_rng(2).normal(size=x.shape).astype(x.dtype)
  weights = np.where(packed.own[..., None], weights, 0)
  params = subject.random_parameters()
  f = subject.functions()
  y, (_, gradient) = f.gradient(params, x, packed.mask, weights, None)
  return np.asarray(y), np.asarray(gradient)


def _change(subject: Subject, packed: Packed) -> Error:
  """Return the largest change of a document if the others are replaced."""
  batch, length, _ = packed.x.shape
  other = subject.inputs(batch, length, seed=3, scale=10.0)
  changed = np.where(packed.own[..., None], packed.x, other)
  y, after = (_run(subject, packed, x)[0] for x in (packed.x, changed))
  return _of_document(packed, after, y)


def _gradient(subject: Subject, packed: Packed) -> Error:
  """Return the largest gradient of a document's outputs by vectors of the others."""
  _, gradient = _run(subject, packed, packed.x)
  if not np.isfinite(gradient).all():
    return float("nan"), "not finite"
  size = np.abs(gradient).max(axis=2)
  others = np.where(packed.own, 0, size)
  row, token = np.unravel_index(np.argmax(others), others.shape)
  error = float(others[row, token] / (size.max() + 1e-30))
  return (error, f"row {row}, by input {token}") if error else 0.0


def _difference(subject: Subject, packed: Packed) -> Error:
  """Return the largest difference from each document in a row of its own."""
  y, _ = _run(subject, packed, packed.x)
  return _of_document(packed, y, _alone(subject, packed))


def _alone(subject: Subject, packed: Packed) -> np.ndarray:
  """Return the outputs of each document in a row of its own, at its place here.

  There it comes first, so that what depends on a token's place in the row shows.
  """
  at = np.where(packed.own, np.asarray(packed.mask.query_positions), -1)
  place = np.arange(at.shape[1]) + np.argmax(packed.own, axis=1)[:, None]
  place %= at.shape[1]
  x = np.take_along_axis(packed.x, place[..., None], axis=1)
  at = np.take_along_axis(at, place, axis=1)
  y = subject.run(x, at, causal=packed.mask.causal)
  return np.take_along_axis(y, np.argsort(place, axis=1)[..., None], axis=1)


def _of_document(packed: Packed, actual: np.ndarray, expected: np.ndarray) -> Error:
  """Return the largest distance of outputs of the documents that are looked at."""
  own = packed.own[..., None]
  actual, expected = np.where(own, actual, 0), np.where(own, expected, 0)
  return largest_change(actual, expected, np.arange(actual.shape[1]))


def _decoded(subject: Subject) -> Error:
  """Return the largest difference of outputs decoded with emptied rows of the state."""
  packed = _packed(subject, SHORT, True, True)
  f, params = subject.functions(), subject.random_parameters()

  def start(rows: int) -> Any:
    return f.initial_state(params, rows, SHORT + SPARE, packed.x.dtype)

  axes, empty = batch_axes(start, BATCH), start(BATCH)
  empty_rows = fast_jit(lambda rows, state: emptied(rows, axes, state, empty))
  at = np.asarray(packed.mask.query_positions)
  begins = np.diff(np.asarray(packed.mask.query_segments), axis=1, prepend=-1) > 0
  state, outputs = empty, []
  for i in range(SHORT):
    state = empty_rows(begins[:, i], state)
    y, state = f.extend(params, packed.x[:, i : i + 1], state, at[:, i : i + 1])
    outputs.append(np.asarray(y))
  return _of_document(packed, np.concatenate(outputs, axis=1), _alone(subject, packed))
