"""Attention with linear biases on the distance (Press et al., arXiv:2108.12409)."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from attention_lab.position.base.position import Position, register_position


@register_position("alibi")
@dataclasses.dataclass(kw_only=True)
class Alibi(Position):
  """Subtracts from the scores of head n the distance times a fixed slope m_n.

  If the number of heads is not a power of two, as in the paper's code: the slopes of
  the next lower power, then every other slope of the next higher one.

  Equation:
    s'_ij = s_ij - m_n |i - j|
    m_n = 2^{-max_bias n/N}
  """

  max_bias: float = 8.0  # The last head's slope is 2^-max_bias.

  def bias(
    self, query_positions: jax.Array, context_positions: jax.Array, num_heads: int
  ) -> jax.Array:
    slopes = jnp.array(_slopes(num_heads, self.max_bias), jnp.float32)
    distance = jnp.abs(query_positions[:, :, None] - context_positions[:, None, :])
    return -slopes[None, :, None, None] * distance[:, None]


def _slopes(num_heads: int, max_bias: float) -> list[float]:
  """Return the geometric slopes of the heads.

  If the number of heads is not a power of two, as in the paper's code: the slopes of the
  next lower power, then every other slope of the next higher one.
  """
  power = 2 ** math.floor(math.log2(num_heads))
  slopes = [2.0 ** (-max_bias * (n + 1) / power) for n in range(power)]
  between = [2.0 ** (-max_bias * (n + 1) / (2 * power)) for n in range(0, 2 * power, 2)]
  return slopes + between[: num_heads - power]
