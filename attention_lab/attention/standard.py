"""Scaled dot-product attention (Vaswani et al., arXiv:1706.03762)."""

import dataclasses

import jax

from attention_lab.attention.base import register_attention
from attention_lab.attention.mask import Mask
from attention_lab.attention.multi_head import MultiHead, dot_product_attention


@register_attention("standard")
@dataclasses.dataclass(kw_only=True)
class Standard(MultiHead):
  """softmax(Q Kᵀ / √K) V, a head at a time."""

  dropout: float = 0.0  # Share of weights zeroed while training.

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    bias = self.position_bias(mask)
    return dot_product_attention(
      q, k, v, mask, bias, scale=self.key_size**-0.5, dropout=self.dropout
    )
