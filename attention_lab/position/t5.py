"""T5's learned bias for each bucket of distances (Raffel et al., arXiv:1910.10683)."""

import dataclasses
import math
from typing import ClassVar

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.errors import UserError
from attention_lab.position.base.position import Position, register_position


@register_position("t5")
@dataclasses.dataclass(kw_only=True)
class T5(Position):
  """Adds to the scores of head n a learned bias for the bucket b of the distance.

  The table B has [buckets, N] entries. Half of the buckets hold one distance each, the
  others grow logarithmically up to `max_distance`, and the last holds all beyond.

  Equation:
    s'_ij = s_ij + B_{b(i-j),n}

  Departures:
    - Each layer has a table of its own; the paper's layers share one.
  """

  undecayed: ClassVar[tuple[str, ...]] = ("table",)

  buckets: int = 32  # Rows of the table.
  max_distance: int = 128  # Distance from which on all share the last bucket.
  # Whether half of the buckets are for later positions; None: if the mask is not causal.
  bidirectional: bool | None = None
  stddev: float = 0.02  # Standard deviation of the table at the start.

  def __post_init__(self) -> None:
    super().__post_init__()
    self._refuse_options(bool(self.bidirectional))

  def bias(
    self,
    query_positions: jax.Array,
    context_positions: jax.Array,
    num_heads: int,
    causal: bool = True,
  ) -> jax.Array:
    both = not causal if self.bidirectional is None else self.bidirectional
    self._refuse_options(both)
    distance = query_positions[:, :, None] - context_positions[:, None, :]
    shape, dtype = (self.buckets, num_heads), jnp.result_type(float)
    init = hk.initializers.RandomNormal(self.stddev)
    table = hk.get_parameter("table", shape, dtype, init=init)
    biases = table.astype(jnp.promote_types(table.dtype, jnp.float32))
    return jnp.moveaxis(biases[self._bucket(distance, both)], -1, 1)

  def _refuse_options(self, both: bool) -> None:
    """Raise `UserError` at buckets that do not suffice for one side or for both."""
    least = 4 if both else 2
    if self.buckets < least or (both and self.buckets % 2):
      raise UserError(
        f"t5(buckets={self.buckets}): at least {least}"
        + (", and an even number for both directions." if both else ".")
      )
    if self.max_distance <= (own := self._side(both) // 2):
      raise UserError(
        f"t5(max_distance={self.max_distance}): more than the {own} distances that have "
        f"a bucket of their own."
      )

  def _side(self, both: bool) -> int:
    """Return the number of buckets of past positions."""
    return self.buckets // 2 if both else self.buckets

  def _bucket(self, distance: jax.Array, both: bool) -> jax.Array:
    """Return the bucket of every distance; the future has distance 0 or its own buckets."""
    side = self._side(both)
    of_distance = jnp.asarray(_buckets(side, self.max_distance), jnp.int32)
    past = of_distance[jnp.clip(distance, 0, self.max_distance)]
    if not both:
      return past
    future = of_distance[jnp.clip(-distance, 0, self.max_distance)]
    return jnp.where(distance < 0, side + future, past)


def _buckets(count: int, max_distance: int) -> np.ndarray:
  """Return the buckets of the distances 0, 1, … max_distance."""
  exact = count // 2
  steps = (count - exact) / math.log(max_distance / exact)
  distance = np.arange(max_distance + 1)
  # A distance that begins a bucket must not fall below it by rounding.
  beyond = steps * np.log(np.maximum(distance, exact) / exact) + 1e-9
  logarithmic = exact + np.floor(beyond).astype(int)
  return np.where(distance < exact, distance, np.minimum(logarithmic, count - 1))
