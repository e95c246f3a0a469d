"""Contract of an attention: one method to write, and defaults for decoding."""

import abc
import dataclasses
from typing import Any, ClassVar, NamedTuple, Self

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask
from attention_lab.nn.module import Module
from attention_lab.plugin.contract import Contract, Names
from attention_lab.plugin.registry import Registry, fields_of
from attention_lab.position.base.position import Position

KINDS = ("causal", "bidirectional", "cross")
# Hooks of a positional scheme that an attention calls; "embed" acts outside.
HOOKS = tuple(hook for hook in Position.HOOKS if hook != "embed")

# Fields of an attention that have no default.
SUPPLIED = ("num_heads", "key_size", "d_model", "position", "w_init", "output_init")

# Metadata of a field that changes how something is computed and never what: the checker
# verifies that. `chunk: int = dataclasses.field(default=64, metadata=SAME_RESULT)`
SAME_RESULT = {"same_result": True}


class ContextMemory(NamedTuple):
  """Contexts of another sequence: a memory for every attention."""

  context: jax.Array  # [B, S, D]
  positions: jax.Array  # [B, S] int32; negative for padding


class ContextBuffer(NamedTuple):
  """Contexts so far: a decode state for every attention."""

  context: jax.Array  # [B, S, D]
  positions: jax.Array  # [B, S] int32; negative for empty slots
  filled: jax.Array  # [] int32: slots in use


@dataclasses.dataclass(kw_only=True)
class Attention(Module):
  """Mixes information over positions: [B, T, D] and [B, S, D] → [B, T, D].

  A subclass writes `__call__`. The decode methods have correct defaults; override them to
  be faster, never different. The architecture supplies the fields below; the fields of a
  subclass are its options.
  """

  num_heads: int
  key_size: int  # Size of one head.
  d_model: int
  position: Position
  w_init: hk.initializers.Initializer | None  # Initialiser of input projections.
  output_init: (
    hk.initializers.Initializer | None
  )  # Initialiser of the output projection.
  kernel: str = "auto"  # Kernel of dot products: the setting `kernel`.
  # Number of its layer, from 1 to num_layers; an int32 scalar where layers are scanned.
  layer: int | jax.Array = 1
  num_layers: int = 1  # Layers of the stack that it is in.
  prefix_length: int = 0  # Tokens of the prefix (`Mask.prefix`) that `extend` honours.
  name: str | None = None  # Of the module; None for that of the class.

  # Hooks (HOOKS) that this attention calls, which assembly verifies.
  honours: ClassVar[tuple[str, ...]] = HOOKS

  # Scheme of --position=auto: that of the attention's paper.
  default_position: ClassVar[str] = "rope"

  # Kinds that it supports: causal self-attention, bidirectional self-attention, and
  # cross-attention to another sequence. An architecture refuses unsupported kinds.
  kinds: ClassVar[tuple[str, ...]] = KINDS

  # Claims, which the checker verifies: time and memory of a pass are linear in the length;
  # the size of the decode state does not depend on the number of tokens.
  linear_time: ClassVar[bool] = False
  constant_state: ClassVar[bool] = False

  # Declarations of unusual attentions, which the checker then judges by what remains: a
  # token that does not attend to itself; outputs that are not smooth in inputs and
  # parameters, as with rounded keys, so that finite differences say nothing; outputs that
  # depend on more than distances under a relative scheme, as by a learnt sink or a length;
  # padding that has no content, but lengthens the sequence.
  sees_itself: ClassVar[bool] = True
  smooth: ClassVar[bool] = True
  relative: ClassVar[bool] = True
  ignores_padding: ClassVar[bool] = True

  # A claim that the checker verifies: documents in one sequence stay apart, as
  # `mask.dense()` and `mask.starts` say. Without it, the attention is refused where they
  # have to.
  separates_documents: ClassVar[bool] = False

  # A claim that the checker and assembly verify: tokens of a prefix see each other, as
  # `mask.dense()` says, and in `extend` as `decode_mask` says. Without it, the attention
  # is refused where there is a prefix.
  honours_prefix: ClassVar[bool] = False

  # Whether it requires a rotation of the pairs (x_f, x_{f+K/2}), each by its own angle, as
  # in rope; whether that may not change the length of a key, as xpos does. Assembly
  # verifies both of the scheme.
  turns_pairs: ClassVar[bool] = False
  keeps_lengths: ClassVar[bool] = False

  def __new__(cls, *_: Any, **given: Any) -> Self:
    """Raise `UserError` if what a model supplies is missing."""
    if missing := [name for name in SUPPLIED if name not in given]:
      raise UserError(
        f"{cls.__name__} lacks {missing[0]}, which a model supplies. In code of your own, "
        f"write attention_lab.attention({cls.__name__}, num_heads=…)."
      )
    return super().__new__(cls)

  def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, Any]]:
    """Return the arguments that `__new__` gets in a copy."""
    return (), {name: getattr(self, name) for name in SUPPLIED}

  @property
  def query_heads(self) -> int:
    """Number of heads of queries: `num_heads`, unless a subclass joins some."""
    return self.num_heads

  @property
  def score_scale(self) -> float:
    """Factor of Q Kᵀ in a softmax: 1/√K, times that of the positional scheme."""
    return self.key_size**-0.5 * self.position.score_scale

  @abc.abstractmethod
  def __call__(self, query: jax.Array, context: jax.Array, mask: Mask) -> jax.Array:
    """Attend to `context` from every query.

    Args:
      query: [B, T, D].
      context: [B, S, D]; the same array as `query` in self-attention.
      mask: which query may attend to which context token.

    Returns:
      [B, T, D] of query's dtype; any finite values for a fully masked query.
    """

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Any:
    """Return the empty decode state for up to `length` tokens: a tree of arrays."""
    return ContextBuffer(
      context=jnp.zeros((batch_size, length, self.d_model), dtype),
      positions=jnp.full((batch_size, length), -1, jnp.int32),
      filled=jnp.zeros((), jnp.int32),
    )

  def extend(
    self, query: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[Any, Any]:
    """Apply causal self-attention to new tokens and all previous ones.

    Args:
      query: [B, T, D], the next T tokens.
      state: from `initial_state` or the call before.
      positions: [B, T] int32; negative for padding.

    Returns:
      [B, T, D], equal to these rows of the full pass, and the new state.
    """
    state = ContextBuffer(
      context=append(state.context, query, state.filled),
      positions=append(state.positions, positions, state.filled),
      filled=state.filled + query.shape[1],
    )
    mask = self.decode_mask(positions, state.positions)
    return self(query, state.context, mask), state

  def decode_mask(self, positions: jax.Array, context_positions: jax.Array) -> Mask:
    """Return the mask of new tokens and those of a decode state: [B, T], [B, S].

    The tokens of a prefix have to be new together, so that the first sees the last.
    """
    return Mask(positions, context_positions, causal=True, prefix=self.prefix_length)

  def memorise(self, context: jax.Array, positions: jax.Array) -> Any:
    """Return a memory of another sequence for `recall`: a tree of arrays.

    Args:
      context: [B, S, D].
      positions: [B, S] int32; negative for padding.
    """
    return ContextMemory(context, positions)

  def recall(self, query: jax.Array, positions: jax.Array, memory: Any) -> jax.Array:
    """Attend to another sequence from some queries, as `__call__` without causality.

    Args:
      query: [B, T, D].
      positions: [B, T] int32, positions of the queries.
      memory: from `memorise`.

    Returns:
      [B, T, D].
    """
    mask = Mask(positions, memory.positions, causal=False)
    return self(query, memory.context, mask)


def append(buffer: jax.Array, new: jax.Array, filled: jax.Array) -> jax.Array:
  """Write `new` [B, T, ...] into `buffer` [B, S, ...] from slot `filled` on.

  The buffer must have room: XLA would otherwise shift the write back silently.
  """
  new = new.astype(buffer.dtype)
  return jax.lax.dynamic_update_slice_in_dim(buffer, new, filled, axis=1)


CONTRACT = Contract(
  Attention, {"kinds": Names(KINDS), "honours": Names(HOOKS, may_be_empty=True)}
)
attentions = Registry("attention", CONTRACT, fields_of(Attention), "attention")
register_attention = attentions.register
