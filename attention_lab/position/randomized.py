"""Positions of training are a sorted random sample (Ruoss et al., arXiv:2305.16843)."""

import dataclasses

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.errors import UserError
from attention_lab.position.base.position import (
  Position,
  bias_of,
  current_sample,
  positions,
  register_position,
)


@register_position("randomized")
@dataclasses.dataclass(kw_only=True)
class Randomized(Position):
  """Applies another scheme at a sorted random sample of positions.

  With a random key, as in training, a row of n tokens takes n of the positions below
  `longest`, each choice as likely as any other. All layers and hooks, and all rows of the
  same length, have the same ones. Padding stays negative.

  Equation:
    x_t ↦ scheme(x_t, p_t),  0 ≤ p_0 < p_1 < … < p_{n-1} < longest

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

  @property
  def score_scale(self) -> float:
    return self._scheme.score_scale

  def draw(self) -> jax.Array | None:
    key = hk.maybe_next_rng_key()
    if key is None:
      return None
    sample = jax.random.permutation(key, self.longest)[: self.max_length]
    return sample.astype(jnp.int32)

  def embed(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    return self._scheme.embed(x, self._moved(positions))

  def rotate(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    return self._scheme.rotate(x, self._moved(positions))

  def rotate_keys(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    return self._scheme.rotate_keys(x, self._moved(positions))

  def bias(
    self,
    query_positions: jax.Array,
    context_positions: jax.Array,
    num_heads: int,
    causal: bool = True,
  ) -> jax.Array | None:
    query, context = self._moved(query_positions), self._moved(context_positions)
    return bias_of(self._scheme, query, context, num_heads, causal)

  def _moved(self, positions: jax.Array) -> jax.Array:
    """Return the scheme's positions: [B, T] → [B, T]; after the last they increase by 1."""
    if self._sample is None:
      moved = positions * self.stride
    else:
      last = self.max_length - 1
      # The first n of a random order are a random choice of n.
      chosen = jnp.arange(self.max_length)[None] <= positions.max(-1, keepdims=True)
      own = jnp.sort(jnp.where(chosen, self._sample[None], self.longest), axis=-1)
      beyond = jnp.maximum(positions - last, 0)
      at = jnp.clip(positions, 0, last)
      moved = jnp.take_along_axis(own, at, axis=-1) + beyond
    return jnp.where(positions < 0, positions, moved)
