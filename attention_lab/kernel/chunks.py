"""Cuts sequences into chunks, for recurrences that are dense inside a chunk only.

The chunk comes first, as `lax.scan` wants it, and tokens stand next to channels, so that
all products are batched matrix products: [B, T, N, F] → [M, B, N, C, F], M chunks of C.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from attention_lab.kernel.documents import cumulate


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


def lower(shape: tuple[int, ...], row: int = -2) -> jax.Array:
  """True where the index along axis `row` is not below the next axis's: [*shape] bool."""
  i, j = (
    jax.lax.broadcasted_iota(jnp.int32, shape, len(shape) + axis)
    for axis in (row, row + 1)
  )
  return i >= j


class Decay(NamedTuple):
  """Decay inside chunks of C tokens; no token decays into another document.

  F is 1, or the number of channels if each decays at its own rate. A decay between tokens
  of different documents is 0. No exponent is positive.
  """

  cumulated: (
    jax.Array
  )  # [M, B, N, C, F]: log decay from the chunk's or document's start
  documents: jax.Array | None  # [M, B, 1, C, 1] int32, from 0 on in each chunk
  before: jax.Array  # [M, B, N, C, F]: from the state before the chunk to each token
  after: jax.Array  # [M, B, N, C, F]: from each token to the state after the chunk
  whole: jax.Array  # [M, B, N, F, 1]: from the state before the chunk to that after it

  @classmethod
  def of(
    cls, log_decay: jax.Array, starts: jax.Array | None, size: int, dtype: Any
  ) -> "Decay":
    """Cut log decays into chunks.

    Args:
      log_decay: g <= 0: [B, T, N], or by channel [B, T, N, F].
      starts: [B, T] bool, whether a token begins another document than that of the token
        before it, so that nothing of it is left; None for one document.
      size: C.
      dtype: dtype of the decays.
    """
    g = split(log_decay.astype(dtype), size)
    g = g[..., None] if log_decay.ndim == 3 else g
    if starts is None:
      b = jnp.cumsum(g, axis=-2)
      last = b[..., -1:, :]
      return cls(b, None, jnp.exp(b), jnp.exp(last - b), jnp.exp(last).mT)
    begins = split(starts[:, :, None], size)[..., None]
    documents = jnp.cumsum(begins, axis=-2, dtype=jnp.int32)
    b = cumulate(jnp.add, g, begins, axis=-2)
    last, own = b[..., -1:, :], documents == documents[..., -1:, :]
    return cls(
      cumulated=b,
      documents=documents,
      before=exp_where(documents == 0, b),
      after=exp_where(own, last - b),
      whole=exp_where(documents[..., -1:, :] == 0, last).mT,
    )

  def between(self) -> jax.Array:
    """Return the decay from token j to token i, if F is 1: [..., C, C], 0 for j > i.

    It is exp(b_i - b_j), with b the cumulative log decay.
    """
    exponent = self.cumulated - self.cumulated.mT
    return exp_where(self.related(exponent.shape), exponent)

  def related(self, shape: tuple[int, ...]) -> jax.Array:
    """Return whether token j comes to token i: of its document and not after it."""
    causal = lower(shape)
    if self.documents is None:
      return causal
    return causal & (self.documents == self.documents.mT)


def exp_where(kept: jax.Array, exponent: jax.Array) -> jax.Array:
  """Return exp(exponent) where `kept`, else 0 and without a gradient."""
  return jnp.exp(jnp.where(kept, exponent, -jnp.inf))
