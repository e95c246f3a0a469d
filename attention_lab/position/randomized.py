"""Positions of training are a sorted random sample (Ruoss et al., arXiv:2305.16843)."""

import dataclasses

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.errors import UserError
from attention_lab.position.base.position import (
  Position,
  current_sample,
  positions,
  register_position,
)


@register_position("randomized")
@dataclasses.dataclass(kw_only=True)
class Randomized(Position):
  """Applies another scheme at a sorted random sample of positions.

  With a random key, as in training, `max_length` positions are sampled per forward
  pass, the same for all rows, layers and hooks. Padding stays negative.

  Equation:
    x_t ↦ scheme(x_t, p_t),  0 ≤ p_0 < p_1 < … < longest

  Departures:
    - Without a random key, in evaluation and decoding, position p becomes p · stride
      for every length. The paper samples in evaluation too, but then decoding would not
      equal the full pass.
  """

  of: str = "rope"  # The scheme, with options if needed: of='rope(base=500)'.
  longest: int = 2048  # Number of positions to draw from: the longest sequence.
  stride: int = 1  # Distance between tokens if no positions are drawn.

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.longest < self.max_length:
      raise UserError(
        f"randomized(longest={self.longest}): a training example has {self.max_length} "
        f"positions, which have to be drawn from at least as many."
      )
    if self.stride < 1:
      raise UserError(f"randomized(stride={self.stride}): at least 1.")
    scheme = positions.bind(self.of)
    if scheme.func is type(self):
      raise UserError(f"randomized(of={self.of!r}): of another scheme than itself.")
    self._scheme: Position = scheme(max_length=self.longest)
    # Read now, since a backward pass runs after the context has ended.
    self._sample = current_sample()

  @classmethod
  def acts(cls) -> frozenset[str]:
    scheme: type[Position] = positions[cls.of]  # type: ignore[assignment]
    return scheme.acts()

  @property
  def hooks(self) -> frozenset[str]:
    return self._scheme.hooks

  @property
  def reach(self) -> int | None:
    reach = self._scheme.reach
    return None if reach is None else (reach - 1) // self.stride + 1

  def draw(self) -> jax.Array | None:
    key = hk.maybe_next_rng_key()
    if key is None:
      return None
    sample = jax.random.permutation(key, self.longest)[: self.max_length]
    return jnp.sort(sample).astype(jnp.int32)

  def embed(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    return self._scheme.embed(x, self._moved(positions))

  def rotate(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    return self._scheme.rotate(x, self._moved(positions))

  def rotate_keys(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    return self._scheme.rotate_keys(x, self._moved(positions))

  def bias(
    self, query_positions: jax.Array, context_positions: jax.Array, num_heads: int
  ) -> jax.Array | None:
    query, context = self._moved(query_positions), self._moved(context_positions)
    return self._scheme.bias(query, context, num_heads)

  def _moved(self, positions: jax.Array) -> jax.Array:
    """Return the scheme's positions; after the last sample they increase by 1."""
    if self._sample is None:
      moved = positions * self.stride
    else:
      last = self.max_length - 1
      beyond = jnp.maximum(positions - last, 0)
      moved = self._sample[jnp.clip(positions, 0, last)] + beyond
    return jnp.where(positions < 0, positions, moved)
