"""Cosine attention: queries and keys of length one (Henry et al., arXiv:2010.04245)."""

import dataclasses
import math
from typing import ClassVar

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.multi_head import MultiHead
from attention_lab.kernel.mask import Mask

EPSILON = 1e-6  # Added to squared lengths, so that zeros have a finite gradient.


@register_attention("cosine")
@dataclasses.dataclass(kw_only=True)
class Cosine(MultiHead):
  """Softmax of cosine similarities, with a learned scale g.

  Queries and keys are normalised before they are rotated, so that a rotation that also
  scales (xpos) has an effect.

  Equation:
    y_i = Σ_j softmax_j(g q̂_i·k̂_j) v_j
    q̂ = q / |q|,  k̂ = k / |k|

  Departures:
    - Each head has a scale of its own.
  """

  honours_prefix: ClassVar[bool] = True
  undecayed: ClassVar[tuple[str, ...]] = ("scale",)

  scale: float | None = (
    None  # Initial g; None: log2(n² - n) with n the training length.
  )

  def queries(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    q = unit(self.project(x, self.num_heads, "query"))
    return self.position.rotate(q, positions)

  def keys_values(
    self, x: jax.Array, positions: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    k = unit(self.project(x, self.kv_heads, "key"))
    return self.position.rotate_keys(k, positions), self.project(
      x, self.kv_heads, "value"
    )

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    wide = jnp.promote_types(q.dtype, jnp.float32)
    learned = hk.get_parameter("scale", (self.num_heads, 1), wide, init=jnp.zeros)
    g = self._start + learned
    q = q * (g * self.key_size**0.5)[None, None]  # dot_product divides by √K.
    return self.dot_product(q.astype(k.dtype), k, v, mask)

  def every_head(self, k: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    return k, v  # The kernel repeats them for the heads.

  @property
  def _start(self) -> float:
    if self.scale is not None:
      return self.scale
    n = max(2, self.position.max_length)
    return math.log2(n * n - n)


def unit(x: jax.Array) -> jax.Array:
  """Return x / |x| over the last axis, in x's dtype, computed in float32 or wider."""
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  squared = (wide * wide).sum(axis=-1, keepdims=True)
  return (wide * jax.lax.rsqrt(squared + EPSILON)).astype(x.dtype)
