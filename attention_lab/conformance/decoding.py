"""Decoding: outputs equal to the full pass, and a decode state of the claimed size."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp

from attention_lab.conformance.law import Case, law, only
from attention_lab.conformance.subject import (
  LONG,
  SHORT,
  Subject,
  cast_to,
  distance,
  positions_of,
)

# Length, padding and chunks; the smallest cases come first. Each chunk size is compiled,
# so there are few.
CHUNKS = (
  (SHORT, 0, (1,) * SHORT),
  (SHORT, 2, (1,) * SHORT),
  (LONG, 0, (137, 1, 3, 3)),
  (LONG, 20, (3, 137, 1, 3)),
)


@law(
  "decoding equals the full pass",
  "the cache is off by one, loses tokens, rotates at wrong positions or includes padding",
  only("causal"),
)
def decoding_equals_full_pass(subject: Subject) -> Iterator[Case]:
  """Require that `extend`, in any chunks, returns the rows of the full pass."""
  f, params = subject.functions(), subject.random_parameters()
  for length, padding, chunks in CHUNKS:
    x = subject.inputs(length=length)
    positions = positions_of(2, length, padding)
    expected = subject.run(x, positions)[:, padding:]
    actual = f.decode(params, x, positions, chunks)[:, padding:]
    case = f"T={length}, {padding} padded, chunks {'+'.join(map(str, chunks))}"
    limit = 5e-5 if length == SHORT else 5e-4  # Rounding errors add up along a state.
    yield Case(case, distance(actual, expected), limit)


@law(
  "the decode state keeps its shapes and dtypes",
  "`extend` returns a state of another shape or dtype, which no loop can carry",
  only("causal"),
)
def state_keeps_shape_and_dtype(subject: Subject) -> Iterator[Case]:
  """Require that `extend` returns a state of the same tree, shapes and dtypes."""
  f, params = subject.functions(), subject.random_parameters()
  for dtype in (jnp.float32, jnp.bfloat16):
    x = subject.inputs().astype(dtype)
    low = cast_to(dtype, params)
    before = f.initial_state(low, 2, LONG, dtype)
    y, after = jax.eval_shape(f.extend, low, x, before, positions_of(2, SHORT))
    case = f"{jnp.dtype(dtype).name}, {SHORT} tokens"
    changed = _shapes_and_dtypes(before) != _shapes_and_dtypes(after)
    yield Case(f"{case}, the state changes", changed, 0.0)
    changed = _shapes_and_dtypes(y) != _shapes_and_dtypes(x)
    yield Case(f"{case}, output {y.dtype}{y.shape}", changed, 0.0)


@law(
  "the decode state has the claimed size",
  "constant_state is set, but the state grows; or it grows faster than the sequence",
  only("causal"),
)
def state_has_claimed_size(subject: Subject) -> Iterator[Case]:
  """Compare the state's bytes at 4,096 and 16,384 tokens.

  They must be equal if the attention sets `constant_state`, else grow at most linearly.
  """
  f, params = subject.functions(), subject.random_parameters()

  def size(length: int) -> int:
    state = jax.eval_shape(lambda p: f.initial_state(p, 1, length, jnp.float32), params)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))

  growth = size(16_384) / max(1, size(4_096))
  yield Case("4 times the tokens", growth, 1.0 if subject.constant_state else 4.01)


def _shapes_and_dtypes(tree: object) -> object:
  leaves, structure = jax.tree.flatten(tree)
  return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]
