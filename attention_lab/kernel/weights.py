"""Attention weights: the softmax that makes them, and a way to look at them."""

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp

_watchers: list[list[jax.Array]] = []


@contextlib.contextmanager
def watch_weights() -> Iterator[list[jax.Array]]:
  """Collect the attention weights [B, N, T, S] formed in a context, in order.

  The context has to be inside one trace, whose values are collected. Kernels that form no
  weights are replaced by the plain formula meanwhile.
  """
  seen: list[jax.Array] = []
  _watchers.append(seen)
  try:
    yield seen
  finally:
    _watchers.remove(seen)


def watched() -> bool:
  """Return whether weights are collected."""
  return bool(_watchers)


def show_weights(weights: jax.Array) -> jax.Array:
  """Add weights to those collected, and return them."""
  for seen in _watchers:
    seen.append(weights)
  return weights


def products(q: jax.Array, k: jax.Array) -> jax.Array:
  """Return Q Kᵀ in float32 or wider: [B, T, N, K], [B, S, N, K] → [B, N, T, S].

  In 16 bits, a score would lose the bits that a sum over K has gained.
  """
  wide = jnp.promote_types(q.dtype, jnp.float32)
  return jnp.einsum("BTNK,BSNK->BNTS", q, k, preferred_element_type=wide)


def softmax(scores: jax.Array, allowed: jax.Array) -> jax.Array:
  """Return the softmax over the last axis among `allowed`; zeros if none is allowed.

  It is computed in float32 or wider. Masked scores become the smallest finite number of
  the dtype, not minus infinity, so that gradients of a fully masked row stay finite.
  """
  scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
  scores = jnp.where(allowed, scores, jnp.finfo(scores.dtype).min)
  # Any number may be taken off. The gradient of a maximum would be 0 / 0 where XLA
  # computes the scores twice and rounds them differently.
  top = jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True))
  exponentials = jnp.exp(scores - top) * allowed
  total = exponentials.sum(axis=-1, keepdims=True)
  return exponentials / jnp.where(total == 0, 1, total)
