"""Documents in one sequence: positions that begin anew, sums that begin anew (no paper)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def begin_anew(positions: jax.Array, starts: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Return positions that begin anew at each document, and the document of each token.

  Args:
    positions: [B, T] int32, rising along the row; negative for padding.
    starts: [B, T] bool, whether a token is the first of a document. Padding is none. What
      stands before the first start keeps its positions.

  Returns:
    [B, T] int32, twice.
  """
  starts = starts & (positions >= 0)
  first = jax.lax.cummax(jnp.where(starts, positions, 0), axis=1)
  own = jnp.where(positions < 0, positions, positions - first)
  return own, jnp.cumsum(starts, axis=1, dtype=jnp.int32)


def changes(segments: jax.Array) -> jax.Array:
  """Return whether a token's segment differs from that before it: [B, T] → [B, T] bool."""
  before = jnp.concatenate([segments[:, :1], segments[:, :-1]], axis=1)
  return segments != before


def ends_of(starts: jax.Array) -> jax.Array:
  """Return whether another document begins after a token: [B, T] → [B, T] bool."""
  return jnp.roll(starts, -1, axis=1).at[:, -1].set(False)


def cumulate(
  combine: Callable[[jax.Array, jax.Array], jax.Array],
  x: jax.Array,
  starts: jax.Array,
  axis: int,
  reverse: bool = False,
) -> jax.Array:
  """Combine the entries up to each one along an axis, anew from each start on.

  Entries of one document do not enter those of another, not even by rounding.

  Args:
    combine: an associative operation, such as `jnp.add`.
    x: the entries.
    starts: bool, of a shape that broadcasts to x's: whether a document begins; with
      `reverse`, whether one ends.
    axis: axis of the entries.
    reverse: whether to combine the entries from each one on instead.
  """

  def join(
    left: tuple[jax.Array, jax.Array], right: tuple[jax.Array, jax.Array]
  ) -> tuple[jax.Array, jax.Array]:
    (a, begun), (b, begins) = left, right
    return jnp.where(begins, b, combine(a, b)), begun | begins

  pairs = x, jnp.broadcast_to(starts, x.shape)
  result: jax.Array = jax.lax.associative_scan(join, pairs, reverse, axis)[0]
  return result
