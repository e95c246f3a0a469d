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
  # [B, W - 1, N (K + K + V)]: projections that the convolution still reads
  recent: jax.Array


@dataclasses.dataclass(kw_only=True)
class Delta(Recurrent):
  """S_t = α_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ, y_t = q_tᵀ S_t.

  β = sigmoid(x W_β), one for each head, or twice that. q, k and v are swish(conv(x W)), q
  and k then of length 1; `convolution=0` omits conv. A rotation turns q and k afterwards,
  so that products depend on distances. A subclass writes `finish`, and `log_decay` where α
  is not 1.
  """

  default_position: ClassVar[str] = "none"
  separates_documents: ClassVar[bool] = True
  keeps_lengths: ClassVar[bool] = True  # I - β k kᵀ lengthens no vector if |k| is 1.

  convolution: int = 4  # Tokens that make q, k and v, their own included; 0: none.
  # Whether β is up to 2, so that I - β k kᵀ may reflect, as tracking a state needs
  # (Grazzi et al., arXiv:2411.12537).
  negative_eigenvalues: bool = False

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
    if self.negative_eigenvalues:
      beta = 2 * beta
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
    width = self.num_heads * (2 * self.key_size + self.value_width)
    memory = super().initial_state(batch_size, length, dtype).memory
    return Written(memory, jnp.zeros((batch_size, before, width), dtype))

  def _convolved(
    self, query: jax.Array, context: jax.Array, mask: Mask, recent: jax.Array
  ) -> tuple[jax.Array, ...]:
    """q, k, v [B, T, N, K or V] before they are turned, and the state that is left."""
    keys, values = self.key_size, self.value_width
    parts = ((query, "query", keys), (context, "key", keys), (context, "value", values))
    projected = [self.project(x, name, width) for x, name, width in parts]
    if not self.convolution:
      return *map(jax.nn.silu, projected), recent
    flat = [x.reshape(*x.shape[:2], -1) for x in projected]
    convolve = ShortConvolution(name="convolution")
    y, recent = convolve(jnp.concatenate(flat, axis=-1), recent, mask)
    ends = (flat[0].shape[-1], 2 * flat[0].shape[-1])
    split = zip(jnp.split(jax.nn.silu(y), ends, axis=-1), projected, strict=True)
    return *(x.reshape(like.shape) for x, like in split), recent
