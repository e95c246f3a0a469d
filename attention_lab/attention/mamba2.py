"""Mamba-2: a state space model with one decay a head (Dao and Gu, arXiv:2405.21060)."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.recurrent import Recurrent, where_real
from attention_lab.attention.base.short_convolution import ShortConvolution
from attention_lab.attention.base.step import step_and_decay
from attention_lab.errors import UserError
from attention_lab.kernel.decayed import decayed
from attention_lab.kernel.mask import Mask
from attention_lab.nn.linear import Linear
from attention_lab.norm.rms_norm import RMSNorm

LARGEST = 4096  # Of the sizes that options give.


class Scanned(NamedTuple):
  """The decode state."""

  memory: jax.Array  # [B, N, F, V], float32 at least
  # [B, W - 1, N V + 2 F]: projections that the convolution still reads
  recent: jax.Array


@register_attention("mamba2")
@dataclasses.dataclass(kw_only=True)
class Mamba2(Recurrent):
  """The recurrence of Mamba-2's block, as linear attention with data-dependent decay.

  C_t, B_t and x_t are its query, key and value; all heads share C and B, of F numbers. Each
  head has its own x, Δ, A, D and b. In the paper this block replaces attention and the
  feed-forward layer alike.

  Equation:
    S_t = exp(Δ_t A) S_{t-1} + Δ_t B_t x_tᵀ,  y_t = C_tᵀ S_t + D x_t
    x_t, B_t, C_t = swish(conv(u_t W) + c)
    Δ_t = softplus(u_t W_Δ + b),  A = -exp(a)
    o_t = norm(y_t ∘ swish(u_t W_G)) W_O
  """

  default_position: ClassVar[str] = "none"
  honours: ClassVar[tuple[str, ...]] = ()
  separates_documents: ClassVar[bool] = True

  state_size: int = 64  # F, numbers of B and C; 128 in the paper's models.
  expansion: int = 2  # Width of a head's x, in key sizes.
  convolution: int = 4  # Tokens that make x, B and C, their own included.

  @property
  def key_width(self) -> int:
    return self.state_size

  @property
  def value_width(self) -> int:
    self._refuse()
    return self.expansion * self.key_size

  def advance(
    self, query: jax.Array, context: jax.Array, mask: Mask, state: Any
  ) -> tuple[jax.Array, Any]:
    x, key, read, recent = self._convolved(context, mask, state.recent)
    step, log_decay = step_and_decay(self.project(context, "decay", 1)[..., 0])
    step, log_decay = (where_real(mask.context_positions, y) for y in (step, log_decay))
    k = step[..., None] * key[:, :, None]
    q = jnp.broadcast_to(read[:, :, None], k.shape)
    y, memory = decayed(q, k, x, log_decay, state.memory, self.chunk, mask.starts)
    skip = hk.get_parameter("skip", (self.num_heads,), y.dtype, init=jnp.ones)
    return y + skip[None, None, :, None] * x, Scanned(memory, recent)

  def finish(self, heads: jax.Array, query: jax.Array) -> jax.Array:
    gate = jax.nn.silu(self.project(query, "gate", self.value_width))
    y = (heads * gate).reshape(*heads.shape[:2], -1)
    y = RMSNorm(epsilon=1e-5, name="norm")(y)
    return self.output(y.astype(query.dtype)[:, :, None])

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Scanned:
    memory = super().initial_state(batch_size, length, dtype).memory
    recent = (batch_size, self.convolution - 1, sum(self._widths))
    return Scanned(memory, jnp.zeros(recent, dtype))

  @property
  def _widths(self) -> Sequence[int]:
    """Channels of x, B and C."""
    return self.num_heads * self.value_width, self.state_size, self.state_size

  def _convolved(
    self, context: jax.Array, mask: Mask, recent: jax.Array
  ) -> tuple[jax.Array, ...]:
    """x [B, S, N, V], B and C [B, S, F], and the state that is left."""
    channels = sum(self._widths)
    y = Linear(channels, False, self.w_init, "input")(context)
    y, recent = ShortConvolution(name="convolution")(y, recent, mask)
    offset = hk.get_parameter(
      "convolution_offset", (channels,), y.dtype, init=jnp.zeros
    )
    y = jax.nn.silu(y + jnp.broadcast_to(offset, y.shape))
    first, second, _ = self._widths
    x, key, read = jnp.split(y, (first, first + second), axis=-1)
    return x.reshape(*x.shape[:2], self.num_heads, -1), key, read, recent

  def _refuse(self) -> None:
    """Raise `UserError` if an option is too small or too large."""
    for option in ("state_size", "expansion", "convolution"):
      if not 1 <= (value := getattr(self, option)) <= LARGEST:
        raise UserError(f"mamba2({option}={value}): take 1 to {LARGEST:,}.")
