"""Positional schemes that attentions are tested with."""

from typing import cast

import jax

from attention_lab.position.base.position import (
  Position,
  Properties,
  positions,
  properties_of,
)

HOOKS = ("rotate", "bias")
MAX_LENGTH = 64  # Positions in a training example.


class Rotation(Position):
  """Rotates as rope does."""

  def rotate(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    return _scheme("rope").rotate(x, positions)


class RotationOfKeys(Position):
  """Rotates keys as rope does, and no queries."""

  def rotate_keys(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    return _scheme("rope").rotate(x, positions)


class Bias(Position):
  """Adds the bias of alibi."""

  def bias(
    self, query_positions: jax.Array, context_positions: jax.Array, num_heads: int
  ) -> jax.Array | None:
    return _scheme("alibi").bias(query_positions, context_positions, num_heads)


class RotationAndBias(Rotation, Bias):
  """Rotates as rope does and adds the bias of alibi."""


# By hooks, the scheme that acts in exactly these.
SCHEMES: dict[tuple[str, ...], type[Position]] = {
  (): Position,
  ("rotate",): Rotation,
  ("rotate_keys",): RotationOfKeys,
  ("bias",): Bias,
  HOOKS: RotationAndBias,
}


def _scheme(name: str) -> Position:
  return cast(Position, positions.bind(name)(max_length=MAX_LENGTH))


def properties_of_scheme(position: str | None) -> Properties:
  """Return the properties of a scheme that is named; None for those in `SCHEMES`."""
  if position is None:
    return Properties(frozenset(HOOKS), None)
  bound = positions.bind(position)
  return properties_of(lambda: bound(max_length=MAX_LENGTH))
