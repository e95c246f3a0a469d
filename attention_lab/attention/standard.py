"""Scaled dot-product attention (Vaswani et al., arXiv:1706.03762)."""

import dataclasses

import jax

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.multi_head import MultiHead
from attention_lab.kernel.mask import Mask


@register_attention("standard")
@dataclasses.dataclass(kw_only=True)
class Standard(MultiHead):
  """softmax(Q Kᵀ / √K) V, a head at a time."""

  dropout: float = 0.0  # Share of weights zeroed while training.

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    return self.dot_product(q, k, v, mask, dropout=self.dropout)

  def every_head(self, k: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    return k, v  # The kernel shares them among the heads.
