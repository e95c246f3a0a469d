"""Differential attention: the difference of two maps (Ye et al., arXiv:2410.05258)."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.multi_head import KVCache, MultiHead
from attention_lab.kernel.mask import Mask
from attention_lab.nn.linear import Linear

Rotation = Callable[[jax.Array, jax.Array], jax.Array]


@register_attention("differential")
@dataclasses.dataclass(kw_only=True)
class Differential(MultiHead):
  """The difference of two softmax maps, normalised per head.

  The vectors a and b have H entries and are shared by all heads. With K a multiple of 4
  the matrices are those of `standard`.

  Equation:
    Y = (1 - λ_0) norm((A_1 - λ A_2) V)
    A_m = softmax(Q_m K_mᵀ / √H)
    λ = exp(a_1·b_1) - exp(a_2·b_2) + λ_0

  Departures:
    - The halves of a head's queries and keys have H = K / 2 entries, rounded up to an
      even number, since rotations act on pairs.
    - λ_0 is the option `lambda_init`, because a layer has no number; in the paper it is
      0.8 - 0.6 exp(-0.3 · (layer - 1)).
  """

  honours_prefix: ClassVar[bool] = True

  lambda_init: float = 0.8  # λ₀; in the paper 0.8 - 0.6 exp(-0.3 · (layer - 1)).

  def queries(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Return both halves, each rotated: [B, T, D], [B, T] → [B, T, N, 2H]."""
    return self._halves(x, self.num_heads, positions, "query", self.position.rotate)

  def keys_values(
    self, x: jax.Array, positions: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Return both halves, each rotated, [B, S, G, 2H], and values [B, S, G, K]."""
    k = self._halves(x, self.kv_heads, positions, "key", self.position.rotate_keys)
    return k, self.project(x, self.kv_heads, "value")

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> KVCache:
    state = super().initial_state(batch_size, length, dtype)
    shape = (batch_size, length, self.kv_heads, 2 * self._half)
    return state._replace(keys=jnp.zeros(shape, dtype))

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    q = q * math.sqrt(self.key_size / self._half)  # dot_product divides by √K.
    first, second = (
      self.dot_product(*halves, v, mask)
      for halves in zip(jnp.split(q, 2, -1), jnp.split(k, 2, -1), strict=True)
    )
    wide = jnp.promote_types(q.dtype, jnp.float32)
    y = first.astype(wide) - self._lambda(wide) * second.astype(wide)
    norm = hk.RMSNorm(axis=-1, create_scale=True, eps=1e-5, name="norm")
    return norm(y) * (1 - self.lambda_init)

  def every_head(self, k: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    return k, v  # The kernel repeats them for the heads.

  @property
  def _half(self) -> int:
    """H: the entries of each half of a head's queries and keys."""
    return 2 * math.ceil(self.key_size / 4)

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
    return jnp.exp(a1 @ b1) - jnp.exp(a2 @ b2) + self.lambda_init
