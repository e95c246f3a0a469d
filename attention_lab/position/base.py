"""What a positional scheme is: three identity hooks, of which it overrides its own."""

import dataclasses
from typing import ClassVar

import haiku as hk
import jax

from attention_lab.registry import Registry, fields_of


@dataclasses.dataclass(kw_only=True)
class Position(hk.Module):
  """Tells a model where its tokens stand. Override the hook where the scheme acts.

  Positions are int32; a negative position marks padding and may get any value, since
  nobody looks there. The fields below are given by the experiment; a scheme's own
  fields are its options.
  """

  max_length: int  # Positions in a training example: 0 <= position < max_length.

  HOOKS: ClassVar[tuple[str, ...]] = ("embed", "rotate", "bias")
  bounded: ClassVar[bool] = False  # Whether positions >= max_length do not exist.

  def embed(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Acts on token embeddings: [B, T, D], [B, T] → [B, T, D]."""
    del positions
    return x

  def rotate(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Acts on queries and keys: [B, T, N, K], [B, T] → [B, T, N, K]."""
    del positions
    return x

  def bias(
    self, query_positions: jax.Array, context_positions: jax.Array, num_heads: int
  ) -> jax.Array | None:
    """Acts on scores: [B, T], [B, S], N → [B, N, T, S] float32, or None for nothing."""
    del query_positions, context_positions, num_heads
    return None

  @classmethod
  def acts(cls) -> frozenset[str]:
    """The hooks that this scheme overrides: read off the class, so it cannot be wrong."""
    return frozenset(
      hook for hook in cls.HOOKS if getattr(cls, hook) is not getattr(Position, hook)
    )


positions = Registry("position", base=Position, given=fields_of(Position))
register_position = positions.register
