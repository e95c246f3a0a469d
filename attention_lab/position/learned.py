"""A learned vector for each position, added to embeddings (GPT; arXiv:1705.03122)."""

import dataclasses
from typing import ClassVar

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.position.base.position import Position, register_position


@register_position("learned")
@dataclasses.dataclass(kw_only=True)
class Learned(Position):
  """Adds a row of a learned table E [max_length, D] to each embedding.

  Positions past the training length do not exist.

  Equation:
    x'_p = x_p + E_p
  """

  bounded: ClassVar[bool] = True

  stddev: float = 0.02  # Standard deviation of the table at the start.

  def embed(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    shape = (self.max_length, x.shape[-1])
    init = hk.initializers.RandomNormal(self.stddev)
    table = hk.get_parameter("embeddings", shape, init=init)
    return x + table.astype(x.dtype)[jnp.clip(positions, 0, self.max_length - 1)]
