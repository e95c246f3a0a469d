"""Gated DeltaNet: the delta rule with a decay (Yang et al., arXiv:2412.06464)."""

import dataclasses

import jax

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.delta import Delta
from attention_lab.attention.base.recurrent import HeadNorm
from attention_lab.attention.base.step import step_and_decay
from attention_lab.attention.base.widths import expanded


@register_attention("gated_delta_net")
@dataclasses.dataclass(kw_only=True)
class GatedDeltaNet(Delta):
  """The delta rule with a decay α for each head and token.

  A and b are learned and begun as in Mamba-2 (arXiv:2405.21060); α and β are one number
  per head. q, k and v are swish(conv(x W)), q and k then of length 1, with a short
  convolution as in the paper's models. A rotation turns q and k afterwards, so that
  products depend on distances.

  Equation:
    S_t = α_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ
    y_t = q_tᵀ S_t,  β_t = σ(x_t W_β), or 2 σ(x_t W_β)
    α_t = exp(-A softplus(x_t W_α + b))
    o_t = (swish(x_t W_G) ∘ norm(y_t)) W_O

  Departures:
    - Values are as wide as keys; `expand_values=2` is the paper's.
  """

  expand_values: int = 1  # V / K, the width of values by that of keys.

  @property
  def value_width(self) -> int:
    return expanded(self.key_size, self.expand_values, "gated_delta_net")

  def finish(self, heads: jax.Array, query: jax.Array) -> jax.Array:
    gate = jax.nn.silu(self.project(query, "gate", self.value_width))
    return self.output(gate * HeadNorm(name="norm")(heads).astype(query.dtype))

  def log_decay(self, x: jax.Array) -> jax.Array:
    return step_and_decay(self.project(x, "decay", 1)[..., 0])[1]
