"""What an attention is: one method to write, and decoding that works from the first day."""

import abc
import dataclasses
from typing import Any, ClassVar, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.kernel.mask import Mask
from attention_lab.nn.module import Module
from attention_lab.plugin.registry import Registry, fields_of
from attention_lab.position.base.position import Position

KINDS = ("causal", "bidirectional", "cross")

# Metadata of a field that changes how something is computed and never what: the checker
# proves that. `chunk: int = dataclasses.field(default=64, metadata=SAME_RESULT)`
SAME_RESULT = {"same_result": True}


class ContextMemory(NamedTuple):
  """Another sequence as it is: what every attention can read from."""

  context: jax.Array  # [B, S, D]
  positions: jax.Array  # [B, S] int32; negative = padding


class ContextBuffer(NamedTuple):
  """The decode state that serves every attention: the contexts seen so far."""

  context: jax.Array  # [B, S, D]
  positions: jax.Array  # [B, S] int32; negative = not filled yet
  filled: jax.Array  # [] int32: slots in use


@dataclasses.dataclass(kw_only=True)
class Attention(Module):
  """Mixes information over positions: [B, T, D] and [B, S, D] → [B, T, D].

  Write `__call__`. The decode methods have defaults that are always right; override them
  to be faster, never different. The fields below are given by the architecture; a
  subclass's own fields are its options.
  """

  num_heads: int
  key_size: int  # Size of one head.
  d_model: int
  position: Position
  w_init: hk.initializers.Initializer | None  # Of the projections that come in.
  output_init: hk.initializers.Initializer | None  # Of the projection that goes out.
  kernel: str = "auto"  # What computes dot products: `config.kernel`.

  # The hooks of a positional scheme that this attention takes part in. "embed" happens
  # outside and needs no mention. Assembly proves that what is named here is called.
  honours: ClassVar[tuple[str, ...]] = ("rotate", "rotate_keys", "bias")

  # What it can be: causal self-attention, self-attention of which every token sees every
  # other, attention over another sequence. An architecture refuses what cannot be its.
  kinds: ClassVar[tuple[str, ...]] = KINDS

  # Claims, which the checker proves: time and memory of a pass grow linearly in the
  # length; the decode state is of one size however many tokens it has seen.
  linear_time: ClassVar[bool] = False
  constant_state: ClassVar[bool] = False

  # Whether it relies on a rotation to turn the pairs (x_f, x_{f+K/2}), as rope does, each
  # by its own angle. Assembly proves that of the scheme.
  turns_pairs: ClassVar[bool] = False

  @abc.abstractmethod
  def __call__(self, query: jax.Array, context: jax.Array, mask: Mask) -> jax.Array:
    """Reads `context` for every query.

    Args:
      query: [B, T, D].
      context: [B, S, D]; the same array as `query` in self-attention.
      mask: who may see whom.

    Returns:
      [B, T, D] of query's dtype; for a query that may see nobody, anything finite.
    """

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Any:
    """The empty decode state for up to `length` tokens: a tree of arrays."""
    return ContextBuffer(
      context=jnp.zeros((batch_size, length, self.d_model), dtype),
      positions=jnp.full((batch_size, length), -1, jnp.int32),
      filled=jnp.zeros((), jnp.int32),
    )

  def extend(
    self, query: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[Any, Any]:
    """Causal self-attention of new tokens over all that came before them.

    Args:
      query: [B, T, D], the next T tokens.
      state: from `initial_state` or the call before.
      positions: [B, T] int32; negative = padding.

    Returns:
      [B, T, D], equal to these rows of the full pass, and the new state.
    """
    state = ContextBuffer(
      context=append(state.context, query, state.filled),
      positions=append(state.positions, positions, state.filled),
      filled=state.filled + query.shape[1],
    )
    mask = Mask(positions, state.positions, causal=True)
    return self(query, state.context, mask), state

  def memorise(self, context: jax.Array, positions: jax.Array) -> Any:
    """What is kept of another sequence, so that many queries may `recall` it: a tree.

    Args:
      context: [B, S, D].
      positions: [B, S] int32; negative = padding.
    """
    return ContextMemory(context, positions)

  def recall(self, query: jax.Array, positions: jax.Array, memory: Any) -> jax.Array:
    """Reads another sequence for some queries, as `__call__` does without causality.

    Args:
      query: [B, T, D].
      positions: [B, T] int32, the queries'.
      memory: from `memorise`.

    Returns:
      [B, T, D].
    """
    mask = Mask(positions, memory.positions, causal=False)
    return self(query, memory.context, mask)


def append(buffer: jax.Array, new: jax.Array, filled: jax.Array) -> jax.Array:
  """Writes `new` [B, T, ...] into `buffer` [B, S, ...] from slot `filled` on.

  The caller sees to it that there is room: XLA would move the write back silently.
  """
  new = new.astype(buffer.dtype)
  return jax.lax.dynamic_update_slice_in_dim(buffer, new, filled, axis=1)


attentions = Registry("attention", base=Attention, given=fields_of(Attention))
register_attention = attentions.register
