"""Differential attention: the difference of two maps (Ye et al., arXiv:2410.05258)."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.multi_head import KVCache, MultiHead, split_heads
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask
from attention_lab.nn.linear import Linear

Rotation = Callable[[jax.Array, jax.Array], jax.Array]


@register_attention("differential")
@dataclasses.dataclass(kw_only=True)
class Differential(MultiHead):
  """The difference of two softmax maps, normalised per head.

  The vectors a and b have H entries and are shared by all heads; l is the number of the
  layer, from 1. With K a multiple of 4 the matrices are those of `standard`.

  Equation:
    Y = (1 - λ_0) norm((A_1 - λ A_2) V)
    A_m = softmax(Q_m K_mᵀ / √H)
    λ = exp(a_1·b_1) - exp(a_2·b_2) + λ_0
    λ_0 = 0.8 - 0.6 exp(-0.3 (l - 1))

  Departures:
    - There are as many heads as in `standard`, and the halves of a head's queries and keys
      have H = K / 2 entries, rounded up to an even number, since rotations act on pairs.
      With `wide_heads=True` it is as in the paper: half as many heads with H = K and
      values of 2 K entries.
  """

  honours_prefix: ClassVar[bool] = True

  # λ₀; None for 0.8 - 0.6 exp(-0.3 (l - 1)) in layer l.
  lambda_init: float | None = None
  wide_heads: bool = False  # Whether there are half as many heads, twice as wide.

  def queries(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Return both halves, each rotated: [B, T, D], [B, T] → [B, T, N, 2H]."""
    return self._halves(x, self.query_heads, positions, "query", self.position.rotate)

  def keys_values(
    self, x: jax.Array, positions: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Return both halves, each rotated, [B, S, G, 2H], and values [B, S, G, V]."""
    k = self._halves(x, self.kv_heads, positions, "key", self.position.rotate_keys)
    v = Linear(self.kv_heads * self._width, self.bias, self.w_init, "value")(x)
    return k, split_heads(v, self._width)

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> KVCache:
    state = super().initial_state(batch_size, length, dtype)
    shape = (batch_size, length, self.kv_heads)
    return state._replace(
      keys=jnp.zeros((*shape, 2 * self._half), dtype),
      values=jnp.zeros((*shape, self._width), dtype),
    )

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    q = q * math.sqrt(self.key_size / self._half)  # dot_product divides by √K.
    first, second = (
      self.dot_product(*halves, v, mask)
      for halves in zip(jnp.split(q, 2, -1), jnp.split(k, 2, -1), strict=True)
    )
    wide = jnp.promote_types(q.dtype, jnp.float32)
    y = first.astype(wide) - self._lambda(wide) * second.astype(wide)
    norm = hk.RMSNorm(axis=-1, create_scale=True, eps=1e-5, name="norm")
    return norm(y) * (1 - self._lambda_0)

  def every_head(self, k: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    return k, v  # The kernel repeats them for the heads.

  @property
  def query_heads(self) -> int:
    if not self.wide_heads:
      return self.num_heads
    if self.num_heads % 2:
      raise UserError(
        f"differential(wide_heads=True) halves the heads, and {self.num_heads} is odd. "
        f"Take an even --config.model.num_heads."
      )
    return self.num_heads // 2

  @property
  def _width(self) -> int:
    """The entries of a head's values."""
    return 2 * self.key_size if self.wide_heads else self.key_size

  @property
  def _half(self) -> int:
    """H: the entries of each half of a head's queries and keys."""
    return 2 * math.ceil(self._width / 4)

  @property
  def _lambda_0(self) -> float | jax.Array:
    """λ₀, the constant part of λ: an array where layers are scanned."""
    if self.lambda_init is not None:
      return self.lambda_init
    fall = -0.3 * (self.layer - 1)
    return 0.8 - 0.6 * (math.exp(fall) if isinstance(fall, float) else jnp.exp(fall))

  def _halves(
    self, x: jax.Array, heads: int, positions: jax.Array, name: str, rotate: Rotation
  ) -> jax.Array:
    x = Linear(heads * 2 * self._half, self.bias, self.w_init, name)(x)
    both = jnp.split(x.reshape(*x.shape[:2], heads, -1), 2, axis=-1)
    rotated = [rotate(half, positions) for half in both]
    return jnp.concatenate(rotated, axis=-1)

  def _lambda(self, dtype: Any) -> jax.Array:
    """Return λ, the factor of the second map: []."""
    init = hk.initializers.RandomNormal(0.1)
    a1, b1, a2, b2 = (
      hk.get_parameter(f"lambda_{name}", (self._half,), dtype, init=init)
      for name in ("query1", "key1", "query2", "key2")
    )
    return jnp.exp(a1 @ b1) - jnp.exp(a2 @ b2) + self._lambda_0
