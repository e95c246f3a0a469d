"""Contract of a positional scheme: hooks that are identities unless overridden."""

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

import haiku as hk
import jax

from attention_lab.nn.module import Module
from attention_lab.plugin.contract import Contract
from attention_lab.plugin.registry import Registry, fields_of


@dataclasses.dataclass(kw_only=True)
class Position(Module):
  """Encodes the positions of tokens. A subclass overrides the hook in which it acts.

  Positions are int32; a negative position marks padding, whose result is ignored. The
  experiment supplies the fields below; the fields of a subclass are its options.
  """

  max_length: int  # Positions in a training example: 0 <= position < max_length.

  HOOKS: ClassVar[tuple[str, ...]] = ("embed", "rotate", "rotate_keys", "bias")
  bounded: ClassVar[bool] = False  # Whether positions >= max_length do not exist.

  def embed(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Encode positions in token embeddings: [B, T, D], [B, T] → [B, T, D]."""
    del positions
    return x

  def rotate(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Rotate queries, and keys too unless `rotate_keys` is overridden.

    [B, T, N, K], [B, T] → [B, T, N, K].
    """
    del positions
    return x

  def rotate_keys(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Rotate keys: [B, S, N, K], [B, S] → [B, S, N, K]."""
    return self.rotate(x, positions)

  def bias(
    self, query_positions: jax.Array, context_positions: jax.Array, num_heads: int
  ) -> jax.Array | None:
    """Return a bias of the scores: [B, T], [B, S], N → [B, N, T, S], or None.

    The dtype is float32 or wider. A method with a parameter `causal: bool = True` gets
    that of the mask.
    """
    del query_positions, context_positions, num_heads
    return None

  @property
  def score_scale(self) -> float:
    """Factor of the scores of a softmax, or of weights that stand for one."""
    return 1.0

  def draw(self) -> jax.Array | None:
    """Return random values that one forward pass shares; None for none."""
    return None

  @classmethod
  def acts(cls) -> frozenset[str]:
    """Return the hooks that the class overrides."""
    return frozenset(
      hook for hook in cls.HOOKS if getattr(cls, hook) is not getattr(Position, hook)
    )

  @property
  def hooks(self) -> frozenset[str]:
    """Hooks in which it acts; an option may change those of its class."""
    return self.acts()

  @property
  def reach(self) -> int | None:
    """Number of distinct positions; None for no limit."""
    return self.max_length if self.bounded else None


def bias_of(
  position: Position,
  query_positions: jax.Array,
  context_positions: jax.Array,
  num_heads: int,
  causal: bool,
) -> jax.Array | None:
  """Return the bias of a scheme under a mask that is causal or not."""
  takes = "causal" in inspect.signature(position.bias).parameters
  given = {"causal": causal} if takes else {}
  return position.bias(query_positions, context_positions, num_heads, **given)


class Properties(NamedTuple):
  """Properties of a scheme with its options."""

  hooks: frozenset[str]
  reach: int | None


def properties_of(build: Callable[[], Position]) -> Properties:
  """Return the properties of the scheme that `build` makes inside a transform."""

  def read() -> Properties:
    position = build()
    return Properties(position.hooks, position.reach)

  found: Properties = hk.transform(read).apply({}, None)  # type: ignore[assignment]
  return found


_samples: list[jax.Array | None] = []


@contextlib.contextmanager
def shared_sample(position: Position) -> Iterator[None]:
  """Share one random sample among all schemes built inside a context.

  An architecture builds its scheme for the embedding and in every layer; their random
  values have to be the same. The context has to be inside one trace.
  """
  _samples.append(position.draw())
  try:
    yield
  finally:
    _samples.pop()


def current_sample() -> jax.Array | None:
  """Return the random values of this forward pass; None for none."""
  return _samples[-1] if _samples else None


positions = Registry("position", Contract(Position), fields_of(Position), "position")
register_position = positions.register
