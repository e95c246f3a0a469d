"""Scaled dot-product attention (Vaswani et al., arXiv:1706.03762)."""

import dataclasses
from typing import ClassVar

import jax

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.multi_head import MultiHead
from attention_lab.kernel.mask import Mask


@register_attention("standard")
@dataclasses.dataclass(kw_only=True)
class Standard(MultiHead):
  """Softmax attention, a head at a time.

  Equation:
    y_i = Σ_j softmax_j(q_i·k_j / √K) v_j
  """

  honours_prefix: ClassVar[bool] = True

  dropout: float = 0.0  # Share of weights zeroed while training.

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    return self.dot_product(q, k, v, mask, dropout=self.dropout)

  def every_head(self, k: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    return k, v  # The kernel shares them among the heads.
