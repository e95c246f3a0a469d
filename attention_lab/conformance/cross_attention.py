"""Cross-attention: it reads its context, at once and after `memorise`."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.conformance.causality import ROUNDING
from attention_lab.conformance.functions import in_chunks
from attention_lab.conformance.inputs import SHORT, cast_to, distance, positions_of
from attention_lab.conformance.law import Case, law, only
from attention_lab.conformance.subject import Subject
from attention_lab.kernel.mask import Mask

# Numbers of queries and of context tokens: fewer queries, more, and as many.
SIZES = ((SHORT, 3), (3, SHORT))
MORE_SIZES = ((1, SHORT), (SHORT, SHORT))
LONG_SIZES = ((5, 150), (150, 5))


def cross_mask(queries: int, positions: np.ndarray) -> Mask:
  """Return the mask of queries at 0, 1, 2, … and context tokens at positions [B, S]."""
  at = jnp.asarray(positions_of(len(positions), queries))
  return Mask(at, jnp.asarray(positions), causal=False)


@law(
  "cross-attention reads its context",
  "the code assumes that there are as many queries as context tokens",
  only("cross"),
)
def context_is_read(subject: Subject) -> Iterator[Case]:
  """Require that outputs depend on the third context token, and not on padding."""
  sizes = (*SIZES, *MORE_SIZES, *LONG_SIZES) if subject.full else SIZES
  for queries, length in sizes:
    if max(queries, length) > subject.reach:
      continue
    case = f"T={queries}, S={length}"
    shape = partial(_wrong_shape, subject, queries, length)
    yield Case(f"{case}, wrong shape", shape, 0.0)
    padding = partial(_change, subject, queries, length, 1, 100.0)
    yield Case(f"{case}, padding changed", padding, ROUNDING)
    unread = partial(_is_unread, subject, queries, length)
    yield Case(f"{case}, the third context token is not read", unread, 0.0)
    without = partial(_without_context, subject, queries, length)
    yield Case(f"{case}, an output does not depend on the context", without, 0.0)


def _cross(subject: Subject, queries: int, context: np.ndarray) -> np.ndarray:
  """Return cross-attention to a context [B, S, D] whose second token is padding."""
  positions = positions_of(*context.shape[:2])
  positions[:, 1] = -1
  x, mask = subject.inputs(length=queries), cross_mask(queries, positions)
  f, params = subject.functions(), subject.random_parameters()
  return np.asarray(f.cross(params, x, context, mask))


def _wrong_shape(subject: Subject, queries: int, length: int) -> bool:
  y = _cross(subject, queries, subject.inputs(length=length, seed=4))
  return y.shape != subject.inputs(length=queries).shape


def _change(
  subject: Subject, queries: int, length: int, token: int, factor: float
) -> float:
  """Return the change of the output if a context token is multiplied by a factor."""
  context = subject.inputs(length=length, seed=4)
  other = context.copy()
  other[:, token] *= factor
  y, changed = (_cross(subject, queries, z) for z in (context, other))
  return distance(changed, y)


def _without_context(subject: Subject, queries: int, length: int) -> bool:
  """Return whether the output of a query is the same for another context."""
  y, other = (
    _cross(subject, queries, subject.inputs(length=length, seed=seed))
    for seed in (4, 5)
  )
  return bool((y == other).all(axis=2).any())


def _is_unread(subject: Subject, queries: int, length: int) -> bool:
  return _change(subject, queries, length, 2, 2.0) == 0


@law(
  "recall equals cross-attention",
  "padding, positions or scale differ between `memorise` and `recall` and `__call__`",
  only("cross"),
)
def recall_equals_cross_attention(subject: Subject) -> Iterator[Case]:
  """Require that `recall`, for queries in any chunks, equals cross-attention."""
  sizes = (*SIZES, *LONG_SIZES) if subject.full else SIZES
  for queries, length in sizes:
    if max(queries, length) > subject.reach:
      continue
    for chunks in ((queries,), (1,) * queries):
      case = f"T={queries}, S={length - 1} and {length}"
      case = f"{case}, queries {len(chunks)}×{chunks[0]}"
      yield Case(case, partial(_recall_error, subject, length, chunks), 5e-5)
  yield Case("bfloat16, another dtype", partial(_changes_dtype, subject), 0.0)


def _changes_dtype(subject: Subject) -> bool:
  """Return whether `recall` returns another dtype than that of the queries."""
  f, params = subject.plain_functions(), subject.random_parameters()
  x = subject.inputs().astype(jnp.bfloat16)
  positions = positions_of(*x.shape[:2])

  def recall(params: Any, x: jax.Array) -> jax.Array:
    return f.recall(params, x, positions, f.memorise(params, x, positions))

  return bool(jax.eval_shape(recall, cast_to(x.dtype, params), x).dtype != x.dtype)


def _recall_error(subject: Subject, length: int, chunks: tuple[int, ...]) -> float:
  """Return the distance of `recall` in chunks from cross-attention."""
  f, params, queries = subject.functions(), subject.random_parameters(), sum(chunks)
  x, context = subject.inputs(length=queries), subject.inputs(length=length, seed=2)
  positions = positions_of(len(x), length)
  positions[0, length - 1] = -1
  expected = f.cross(params, x, context, cross_mask(queries, positions))
  memory = f.memorise(params, context, positions)

  def recall(x: Any, memory: Any, positions: Any) -> tuple[Any, Any]:
    return f.recall(params, x, positions, memory), memory

  actual = in_chunks(recall, memory, x, positions_of(len(x), queries), chunks)
  return distance(actual, expected)
