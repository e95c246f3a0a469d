"""Sinusoidal position encoding, added to embeddings (Vaswani et al., arXiv:1706.03762)."""

import dataclasses

import jax
import jax.numpy as jnp

from attention_lab.errors import UserError
from attention_lab.position.base.position import Position, register_position
from attention_lab.position.base.rotation import frequencies


@register_position("sinusoidal")
@dataclasses.dataclass(kw_only=True)
class Sinusoidal(Position):
  """Adds sines and cosines of the position, of geometric wavelengths, to the embeddings.

  Equation:
    x'_p = x_p + PE(p)
    PE(p, 2i) = sin(p / base^{2i/D}),  PE(p, 2i+1) = cos(p / base^{2i/D})
  """

  base: float = 10_000.0  # The longest wavelength is 2π · base positions.

  def embed(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    d_model = x.shape[-1]
    if d_model % 2:
      raise UserError(
        f"sinusoidal pairs dimensions: d_model must be even, not {d_model}."
      )
    frequency = frequencies(d_model, self.base)  # [D/2]
    angle = jnp.einsum("BT,F->BTF", positions, frequency)
    encoding = jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1)
    return x + encoding.reshape(x.shape).astype(x.dtype)
