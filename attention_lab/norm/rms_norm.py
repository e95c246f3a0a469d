"""RMSNorm: division by the root mean square (Zhang and Sennrich, arXiv:1910.07467)."""

import dataclasses

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.norm.base.norm import Norm, register_norm
from attention_lab.plugin.ranges import NonNegative


@register_norm("rms_norm")
@dataclasses.dataclass(kw_only=True)
class RMSNorm(Norm):
  """Root mean square normalisation over the last axis, in float32 at least.

  Equation:
    y = x / √(mean(x²) + ε) ∘ scale
  """

  epsilon: NonNegative = 1e-6  # ε.

  def __call__(self, x: jax.Array) -> jax.Array:
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    scale = hk.get_parameter("scale", x.shape[-1:], wide.dtype, init=jnp.ones)
    mean_square = (wide * wide).mean(axis=-1, keepdims=True)
    y = wide * jax.lax.rsqrt(mean_square + self.epsilon)
    return (y * jnp.broadcast_to(scale, y.shape)).astype(x.dtype)
