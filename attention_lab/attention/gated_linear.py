"""Gated linear attention: each channel forgets at its rate (Yang, arXiv:2312.06635)."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.recurrent import Memory, Recurrent, where_real, wide
from attention_lab.errors import UserError
from attention_lab.kernel.decayed import decayed
from attention_lab.kernel.mask import Mask
from attention_lab.nn.linear import Linear
from attention_lab.norm.layer_norm import LayerNorm


@register_attention("gated_linear")
@dataclasses.dataclass(kw_only=True)
class GatedLinear(Recurrent):
  """Linear attention with a decay for each channel of the keys.

  The norm is each head's own.

  Equation:
    S_t = diag(α_t) S_{t-1} + k_t v_tᵀ / √K,  y_t = q_tᵀ S_t
    α_t = σ(x_t W_1 W_2 + b)^{1/τ}
    o_t = (swish(x_t W_R + b_R) ∘ norm(y_t)) W_O

  Departures:
    - Keys are as wide as values; `key_ratio=0.5` is the paper's.
    - Under a rotation, which the paper does not have, both features of a turned pair
      have the mean of their log α, so that products depend on distances.
    - A chunk is halved recursively, so that all of it stays matrix products and no
      exponent is positive.
  """

  default_position: ClassVar[str] = "none"
  separates_documents: ClassVar[bool] = True
  turns_pairs: ClassVar[bool] = True

  rank: int = 16  # Columns of W1.
  temperature: float = 16.0  # τ; the larger, the slower it forgets.
  # K / V, the width of keys by that of values, which are d_model / num_heads wide.
  key_ratio: float = 1.0

  @property
  def key_width(self) -> int:
    width = round(self.key_ratio * self.key_size)
    if width < 1 or width != self.key_ratio * self.key_size:
      raise UserError(
        f"gated_linear(key_ratio={self.key_ratio}): keys would have "
        f"{self.key_ratio * self.key_size:g} entries. Take a ratio that makes it a whole "
        f"number, such as {1 / self.key_size:g} or 1."
      )
    return width

  def advance(
    self, query: jax.Array, context: jax.Array, mask: Mask, state: Any
  ) -> tuple[jax.Array, Any]:
    q = self.project(query, "query", self.key_width)
    q = self.position.rotate(q, mask.query_positions)
    k = self.project(context, "key", self.key_width)
    k = self.position.rotate_keys(k, mask.context_positions)
    k = where_real(mask.context_positions, k * self.key_width**-0.5)
    v = self.project(context, "value")
    log_decay = where_real(mask.context_positions, self.log_decay(context))
    heads, memory = decayed(q, k, v, log_decay, state.memory, self.chunk, mask.starts)
    return heads, Memory(memory)

  def finish(self, heads: jax.Array, query: jax.Array) -> jax.Array:
    gate = Linear(self.num_heads * self.key_size, True, self.w_init, "gate")(query)
    heads = LayerNorm(offset=True, name="norm")(heads).astype(query.dtype)
    return self.output(jax.nn.silu(gate).reshape(heads.shape) * heads)

  def log_decay(self, x: jax.Array) -> jax.Array:
    """log α: [B, S, D] → [B, S, N, K], float32 at least."""
    log_decay = self._of_each_feature(x)
    if self.position.hooks.isdisjoint({"rotate", "rotate_keys"}):
      return log_decay
    first, second = jnp.split(log_decay, 2, axis=-1)  # A pair is turned together.
    return jnp.tile((first + second) / 2, 2)

  def _of_each_feature(self, x: jax.Array) -> jax.Array:
    """log α without a rotation: [B, S, D] → [B, S, N, K], float32 at least."""
    if self.rank < 1 or self.temperature <= 0:
      raise UserError(
        f"rank={self.rank}, temperature={self.temperature}: the rank has to be 1 or more "
        "and the temperature above 0."
      )
    low = Linear(self.rank, False, self.w_init, "decay_in")(x)
    width = self.num_heads * self.key_width
    y = Linear(width, True, self.w_init, "decay_out")(low)
    y = y.reshape(*x.shape[:2], self.num_heads, self.key_width)
    return jax.nn.log_sigmoid(y.astype(wide(y.dtype))) / self.temperature
