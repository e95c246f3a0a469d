"""DeltaNet: a write replaces what the key recalled (Yang et al., arXiv:2406.06484)."""

import dataclasses

import jax

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.delta import Delta
from attention_lab.attention.base.recurrent import HeadNorm


@register_attention("delta_net")
@dataclasses.dataclass(kw_only=True)
class DeltaNet(Delta):
  """Linear attention in which a write replaces what the key recalled.

  β is one number per head; q, k and v are swish(conv(x W)), q and k then of length 1,
  with a short convolution as in the paper's models. A rotation turns q and k
  afterwards, so that products depend on distances.

  Equation:
    S_t = (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ
    y_t = q_tᵀ S_t,  β_t = σ(x_t W_β), or 2 σ(x_t W_β)
    o_t = norm(y_t) W_O
  """

  def finish(self, heads: jax.Array, query: jax.Array) -> jax.Array:
    return self.output(HeadNorm(name="norm")(heads).astype(query.dtype))
