"""LayerNorm (Ba et al., arXiv:1607.06450) with a gradient that recomputes little."""

import dataclasses
from typing import ClassVar

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.norm.base.norm import Norm, register_norm

EPSILON = 1e-5


@register_norm("layer_norm")
@dataclasses.dataclass(kw_only=True)
class LayerNorm(Norm):
  """Layer normalisation over the last axis, in float32 at least.

  Values and parameters are those of `hk.LayerNorm`.

  Equation:
    y = (x - mean(x)) / √(variance(x) + ε) ∘ scale + offset
  """

  has_offset: ClassVar[bool] = True

  def __call__(self, x: jax.Array) -> jax.Array:
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    scale = hk.get_parameter("scale", x.shape[-1:], wide.dtype, init=jnp.ones)
    y = _normalise(wide, scale)
    if self.offset:
      offset = hk.get_parameter("offset", x.shape[-1:], wide.dtype, init=jnp.zeros)
      y += jnp.broadcast_to(offset, y.shape)
    return y.astype(x.dtype)


@jax.custom_vjp
def _normalise(x: jax.Array, scale: jax.Array) -> jax.Array:
  """(x - mean) / √(variance + ε) · scale.

  The gradient that jax derives goes through the mean's and the variance's own formulas
  and sums over the rows more often: written out, it costs half as much
  (docs/measurements/training_step.md).
  """
  return _forward(x, scale)[0]


def _forward(
  x: jax.Array, scale: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array, jax.Array]]:
  mean = x.mean(axis=-1, keepdims=True)
  centred = x - mean
  variance = (centred * centred).mean(axis=-1, keepdims=True)
  inverse = jax.lax.rsqrt(variance + EPSILON)
  y = centred * inverse * jnp.broadcast_to(scale, x.shape)
  return y, (x, mean, inverse, scale)


def _backward(
  saved: tuple[jax.Array, jax.Array, jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
  x, mean, inverse, scale = saved
  gradient = jax.lax.optimization_barrier(gradient)
  unit = (x - mean) * inverse
  scaled = gradient * jnp.broadcast_to(scale, x.shape)
  along = (scaled * unit).mean(axis=-1, keepdims=True)
  dx = inverse * (scaled - scaled.mean(axis=-1, keepdims=True) - unit * along)
  return dx, (gradient * unit).reshape(-1, x.shape[-1]).sum(axis=0)


_normalise.defvjp(_forward, _backward)
