"""Cross-attention: it reads its context, at once and after `memorise`."""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from attention_lab.conformance.causality import ROUNDING, from_token
from attention_lab.conformance.functions import in_chunks
from attention_lab.conformance.law import Case, law, only
from attention_lab.conformance.subject import SHORT, Subject, distance, positions_of
from attention_lab.kernel.mask import Mask

QUERIES, CONTEXT = SHORT, 3


@law(
  "cross-attention reads its context",
  "the code assumes that there are as many queries as context tokens",
  only("cross"),
)
def context_is_read(subject: Subject) -> Iterator[Case]:
  """Require, for T ≠ S, that outputs depend on the third context token, not on padding."""
  f, params = subject.functions(), subject.random_parameters()
  for queries, length in ((1, SHORT), (QUERIES, CONTEXT)):
    x, context = subject.inputs(length=queries), subject.inputs(length=length, seed=4)
    positions = positions_of(2, length)
    positions[:, 1] = -1
    mask = Mask(
      jnp.asarray(positions_of(2, queries)), jnp.asarray(positions), causal=False
    )
    y = np.asarray(f.apply(params, x, context, mask))
    case = f"T={queries}, S={length}"
    yield Case(f"{case}, wrong shape {y.shape}", y.shape != x.shape, 0.0)
    padding = np.where(positions[..., None] < 0, 100 * context, context)
    changed = np.asarray(f.apply(params, x, padding, mask))
    yield Case(f"{case}, padding changed", distance(changed, y), ROUNDING)
    third = from_token(2, length) & ~from_token(3, length)
    changed = np.asarray(f.apply(params, x, context + third, mask))
    unread = np.array_equal(changed, y)
    yield Case(f"{case}, the third context token is not read", unread, 0.0)


@law(
  "recall equals cross-attention",
  "padding, positions or scale differ between `memorise` and `recall` and `__call__`",
  only("cross"),
)
def recall_equals_cross_attention(subject: Subject) -> Iterator[Case]:
  """Require that `recall`, for queries in any chunks, equals cross-attention."""
  f, params = subject.functions(), subject.random_parameters()
  x, context = subject.inputs(length=QUERIES), subject.inputs(length=CONTEXT, seed=2)
  query_positions = positions_of(2, QUERIES)
  context_positions = positions_of(2, CONTEXT)
  context_positions[0, CONTEXT - 1] = -1
  mask = Mask(
    jnp.asarray(query_positions), jnp.asarray(context_positions), causal=False
  )
  expected = f.apply(params, x, context, mask)
  memory = f.memorise(params, context, context_positions)

  def recall(x: Any, memory: Any, positions: Any) -> tuple[Any, Any]:
    return f.recall(params, x, positions, memory), memory

  for chunks in ((QUERIES,), (1,) * QUERIES):
    actual = in_chunks(recall, memory, x, query_positions, chunks)
    case = f"T={QUERIES}, S={CONTEXT - 1} and {CONTEXT}"
    case = f"{case}, queries {'+'.join(map(str, chunks))}"
    yield Case(case, distance(actual, expected), 5e-5)
