"""Base of attentions with the delta rule: unit keys, strengths (arXiv:2406.06484)."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from attention_lab.attention.base.recurrent import Recurrent, unit, where_real, wide
from attention_lab.attention.base.short_convolution import ShortConvolution
from attention_lab.errors import UserError
from attention_lab.kernel.delta import delta_rule
from attention_lab.kernel.mask import Mask

LONGEST = 64  # Tokens of a convolution, each of which is a term of a sum.


class Written(NamedTuple):
  """The decode state."""

  memory: jax.Array  # [B, N, K, V], float32 at least
  recent: jax.Array  # [B, W - 1, 3 N K]: projections that the convolution still reads


@dataclasses.dataclass(kw_only=True)
class Delta(Recurrent):
  """S_t = α_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ, y_t = q_tᵀ S_t.

  β = sigmoid(x W_β), one for each head. q, k and v are swish(conv(x W)), q and k then of
  length 1; without a convolution v is x W alone. A rotation turns q and k afterwards, so
  that products depend on distances. A subclass writes `finish`, and `log_decay` where α is
  not 1.
  """

  separates_documents: ClassVar[bool] = True
  keeps_lengths: ClassVar[bool] = True  # I - β k kᵀ lengthens no vector if |k| is 1.

  convolution: int = 4  # Tokens that make q, k and v, their own included; 0: none.

  def log_decay(self, x: jax.Array) -> jax.Array | None:
    """log α: [B, S, D] → [B, S, N], float32 at least; None for no decay."""
    del x
    return None

  def advance(
    self, query: jax.Array, context: jax.Array, mask: Mask, state: Any
  ) -> tuple[jax.Array, Any]:
    q, k, v, recent = self._convolved(query, context, mask, state.recent)
    q = self.position.rotate(unit(q), mask.query_positions)
    k = self.position.rotate_keys(unit(k), mask.context_positions)
    beta = self.project(context, "beta", 1)[..., 0]
    beta = jax.nn.sigmoid(beta.astype(wide(beta.dtype)))
    beta = where_real(mask.context_positions, beta)
    log_decay = self.log_decay(context)
    if log_decay is not None:
      log_decay = where_real(mask.context_positions, log_decay)
    heads, memory = delta_rule(
      q, k, v, beta, log_decay, state.memory, self.chunk, mask.starts
    )
    return heads, Written(memory, recent)

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Written:
    if not 0 <= self.convolution <= LONGEST:
      raise UserError(
        f"convolution={self.convolution}: take 0 for none, or up to {LONGEST} tokens."
      )
    before = max(self.convolution - 1, 0)
    recent = (batch_size, before, 3 * self.num_heads * self.key_size)
    memory = super().initial_state(batch_size, length, dtype).memory
    return Written(memory, jnp.zeros(recent, dtype))

  def _convolved(
    self, query: jax.Array, context: jax.Array, mask: Mask, recent: jax.Array
  ) -> tuple[jax.Array, ...]:
    """q, k and v [B, T, N, K] before they are turned, and the state that is left."""
    parts = ((query, "query"), (context, "key"), (context, "value"))
    projected = [self.project(x, name) for x, name in parts]
    if not self.convolution:
      q, k, v = projected
      return jax.nn.silu(q), jax.nn.silu(k), v, recent
    flat = [x.reshape(*x.shape[:2], -1) for x in projected]
    convolve = ShortConvolution(name="convolution")
    y, recent = convolve(jnp.concatenate(flat, axis=-1), recent, mask)
    q, k, v = jnp.split(jax.nn.silu(y), 3, axis=-1)
    return *(x.reshape(projected[0].shape) for x in (q, k, v)), recent
