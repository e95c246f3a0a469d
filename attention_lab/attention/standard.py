"""Scaled dot-product attention (Vaswani et al., arXiv:1706.03762)."""

import dataclasses

import jax
import jax.numpy as jnp

from attention_lab.attention.base import register_attention
from attention_lab.attention.mask import Mask
from attention_lab.attention.multi_head import MultiHead, softmax
from attention_lab.dropout import drop


@register_attention("standard")
@dataclasses.dataclass(kw_only=True)
class Standard(MultiHead):
  """softmax(Q Kᵀ / √K) V, a head at a time."""

  dropout: float = 0.0  # Share of weights zeroed while training.

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    scores = jnp.einsum("BTNK,BSNK->BNTS", q, k) / self.key_size**0.5
    weights = softmax(scores + self.position_bias(mask), mask.dense())
    weights = drop(weights, self.dropout)
    return jnp.einsum("BNTS,BSNK->BTNK", weights.astype(v.dtype), v)
