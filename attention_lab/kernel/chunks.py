"""Cuts sequences into chunks, for recurrences that are dense inside a chunk only.

The chunk comes first, as `lax.scan` wants it, and tokens stand next to channels, so that
all products are batched matrix products: [B, T, N, F] → [M, B, N, C, F], M chunks of C.
"""

import jax
import jax.numpy as jnp


def chunk_size(length: int, chunk: int) -> int:
  """Return the chunk size: `chunk`, or the next power of two for a shorter sequence."""
  return min(chunk, 1 << (length - 1).bit_length())


def split(x: jax.Array, size: int) -> jax.Array:
  """Divide into chunks: [B, T, N, ...] → [M, B, N, C, ...]; zeros pad the last one."""
  batch, length = x.shape[:2]
  chunks = -(-length // size)
  rest = [(0, 0)] * (x.ndim - 2)
  x = jnp.pad(x, [(0, 0), (0, chunks * size - length), *rest])
  x = x.reshape(batch, chunks, size, *x.shape[2:])
  return jnp.moveaxis(x, (1, 0, 3, 2), (0, 1, 2, 3))


def join(x: jax.Array, length: int) -> jax.Array:
  """Join chunks: [M, B, N, C, F] → [B, T, N, F], without padding."""
  chunks, batch, heads, size, width = x.shape
  x = jnp.transpose(x, (1, 0, 3, 2, 4)).reshape(batch, chunks * size, heads, width)
  return x[:, :length]


def decay_between(cumulated: jax.Array) -> jax.Array:
  """Return the decay from token j to token i: [..., C] → [..., C, C].

  It is exp(b_i - b_j) for j <= i, else 0, with b the cumulative log decay; so no exponent
  is positive.
  """
  exponent = cumulated[..., :, None] - cumulated[..., None, :]
  return jnp.exp(jnp.where(lower(exponent.shape), exponent, -jnp.inf))


def lower(shape: tuple[int, ...], row: int = -2) -> jax.Array:
  """True where the index along axis `row` is not below the next axis's: [*shape] bool."""
  i, j = (
    jax.lax.broadcasted_iota(jnp.int32, shape, len(shape) + axis)
    for axis in (row, row + 1)
  )
  return i >= j
