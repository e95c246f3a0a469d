"""Rotary position embedding of queries and keys (Su et al., arXiv:2104.09864)."""

import dataclasses

import jax
import jax.numpy as jnp

from attention_lab.errors import UserError
from attention_lab.position.base import Position, register_position


@register_position("rope")
@dataclasses.dataclass(kw_only=True)
class Rope(Position):
  """Turns the pair (x_f, x_{f+K/2}) at position p by the angle p · base^(-2f/K).

  The pairs are first half with second half, as in GPT-NeoX. Scores then depend on the
  distance between query and key alone.
  """

  base: float = 10_000.0  # The longest wavelength is 2π · base positions.

  def rotate(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    key_size = x.shape[-1]
    if key_size % 2:
      raise UserError(f"rope turns pairs: the head size must be even, not {key_size}.")
    frequency = self.base ** (-jnp.arange(0, key_size, 2) / key_size)
    angle = jnp.einsum("BT,F->BTF", positions, frequency)[:, :, None]  # [B, T, 1, K/2]
    cos, sin = jnp.cos(angle).astype(x.dtype), jnp.sin(angle).astype(x.dtype)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate(
      [first * cos - second * sin, second * cos + first * sin], axis=-1
    )
