"""What a positional scheme is: identity hooks, of which it overrides its own."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

import haiku as hk
import jax

from attention_lab.nn.module import Module
from attention_lab.plugin.registry import Registry, fields_of


@dataclasses.dataclass(kw_only=True)
class Position(Module):
  """Tells a model where its tokens stand. Override the hook where the scheme acts.

  Positions are int32; a negative position marks padding and may get any value, since
  nobody looks there. The fields below are given by the experiment; a scheme's own
  fields are its options.
  """

  max_length: int  # Positions in a training example: 0 <= position < max_length.

  HOOKS: ClassVar[tuple[str, ...]] = ("embed", "rotate", "rotate_keys", "bias")
  bounded: ClassVar[bool] = False  # Whether positions >= max_length do not exist.

  def embed(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Acts on token embeddings: [B, T, D], [B, T] → [B, T, D]."""
    del positions
    return x

  def rotate(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Acts on queries, and on keys too unless the next hook says otherwise.

    [B, T, N, K], [B, T] → [B, T, N, K].
    """
    del positions
    return x

  def rotate_keys(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Acts on keys: [B, S, N, K], [B, S] → [B, S, N, K]."""
    return self.rotate(x, positions)

  def bias(
    self, query_positions: jax.Array, context_positions: jax.Array, num_heads: int
  ) -> jax.Array | None:
    """Acts on scores: [B, T], [B, S], N → [B, N, T, S], or None for nothing.

    In float32 at least.
    """
    del query_positions, context_positions, num_heads
    return None

  def draw(self) -> jax.Array | None:
    """What is drawn at random once for a whole forward pass; None for nothing."""
    return None

  @classmethod
  def acts(cls) -> frozenset[str]:
    """The hooks that this scheme overrides: read off the class, so it cannot be wrong."""
    return frozenset(
      hook for hook in cls.HOOKS if getattr(cls, hook) is not getattr(Position, hook)
    )

  @property
  def hooks(self) -> frozenset[str]:
    """The hooks in which it acts: another set than its class's if an option decides."""
    return self.acts()

  @property
  def reach(self) -> int | None:
    """How many positions there are; None where they do not end."""
    return self.max_length if self.bounded else None


class Facts(NamedTuple):
  """What is known of a scheme with its options before anything is computed."""

  hooks: frozenset[str]
  reach: int | None


def facts_of(build: Callable[[], Position]) -> Facts:
  """The facts of the scheme that `build` makes inside a transform."""

  def read() -> Facts:
    position = build()
    return Facts(position.hooks, position.reach)

  facts: Facts = hk.transform(read).apply({}, None)  # type: ignore[assignment]
  return facts


_draws: list[jax.Array | None] = []


@contextlib.contextmanager
def one_draw(position: Position) -> Iterator[None]:
  """Gives all schemes built inside the block one draw of this one.

  An architecture builds its scheme beside the embedding and in every layer; what they
  draw at random has to be the same. Use it inside one trace.
  """
  _draws.append(position.draw())
  try:
    yield
  finally:
    _draws.pop()


def drawn() -> jax.Array | None:
  """What has been drawn for this forward pass; None for nothing."""
  return _draws[-1] if _draws else None


positions = Registry("position", base=Position, given=fields_of(Position))
register_position = positions.register
