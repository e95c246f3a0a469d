"""Attention in three steps, each of which a subclass may replace (arXiv:1706.03762)."""

import dataclasses

import jax
import jax.numpy as jnp

from attention_lab.attention.base.multi_head import MultiHead
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import products, show_weights, softmax


@dataclasses.dataclass(kw_only=True)
class Weighted(MultiHead):
  """Scores, weights, read-out: an attention that differs in one overrides that one.

  Projections, grouped heads, rotation, bias, the KV cache and the weights' pictures come
  with it. It forms [T, S], so what is softmax at heart is faster by `dot_product`.
  """

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    weights = show_weights(self.weights(self.scores(q, k, mask), mask.dense()))
    return self.read_out(weights, v)

  def scores(self, q: jax.Array, k: jax.Array, mask: Mask) -> jax.Array:
    """Q Kᵀ / √K + position bias: [B, T, N, K], [B, S, N, K] → [B, N, T, S].

    In float32 at least.
    """
    return products(q, k) * self.score_scale + self.position_bias(mask)

  def weights(self, scores: jax.Array, allowed: jax.Array) -> jax.Array:
    """Softmax: [B, N, T, S], [B, 1, T, S] bool → [B, N, T, S], 0 where not allowed."""
    return softmax(scores, allowed)

  def read_out(self, weights: jax.Array, v: jax.Array) -> jax.Array:
    """Compute weights · V: [B, N, T, S], [B, S, N, V] → [B, T, N, V]."""
    return jnp.einsum("BNTS,BSNV->BTNV", weights.astype(v.dtype), v)
