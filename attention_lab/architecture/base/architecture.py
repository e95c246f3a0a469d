"""Contract of an architecture: from tokens to logits, at once or incrementally."""

import abc
import dataclasses
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.architecture.base.head import record_head
from attention_lab.architecture.base.stack import Build, Stack
from attention_lab.attention.base.attention import KINDS, Attention
from attention_lab.block.base.options import Options
from attention_lab.dataset.base.dataset import TASKS
from attention_lab.nn.cross_entropy import Head
from attention_lab.nn.dropout import drop
from attention_lab.nn.linear import Linear, matmul
from attention_lab.nn.module import Module
from attention_lab.plugin.contract import Contract, Names
from attention_lab.plugin.registry import Registry, fields_of
from attention_lab.position.base.position import Position, shared_sample


@dataclasses.dataclass(kw_only=True)
class Architecture(Module):
  """Combines attentions, a positional scheme and feed-forward layers into a model.

  The experiment sets the fields below; the fields of a subclass are its options.
  """

  options: Options
  vocabulary_size: int
  attentions: Mapping[str, tuple[Build, ...]]  # By place, one per layer.
  position: Callable[[], Position]
  padding: int | None = None  # Token that nothing attends to; see `padding_of`.
  # The token in front of each document, if no token may see another document.
  separator: int | None = None

  # Places of attentions in the architecture, each with the kind of attention it needs
  # (one of `Attention.kinds`).
  places: ClassVar[Mapping[str, str]] = MappingProxyType({"decoder": "causal"})

  # Tasks (`Dataset.tasks`) that the architecture can learn, the preferred one first. A
  # bidirectional architecture must not list "next_token": its inputs contain the targets.
  tasks: ClassVar[tuple[str, ...]] = ("next_token", "labels")

  # Whether it keeps documents apart if it has a separator.
  separates_documents: ClassVar[bool] = False

  # True if the architecture generates tokens one after another. If it does not, it needs
  # no `extend`.
  decodes: ClassVar[bool] = True

  def __init_subclass__(cls, **kwargs: Any):
    super().__init_subclass__(**kwargs)
    if cls.decodes and cls.extend is Architecture.extend:
      raise TypeError(f"{cls.__name__} must define extend, or set decodes = False.")

  @abc.abstractmethod
  def __call__(self, tokens: jax.Array, positions: jax.Array | None) -> jax.Array:
    """Return the logits [B, T, V] of whole sequences.

    An architecture that learns pairs takes the source ([B, S] int32, negative for
    padding) as last argument of this method, `attention_weights` and `initial_state`.

    Args:
      tokens: [B, T] int32.
      positions: [B, T] int32, negative for padding. None for 0, 1, 2, …, which allows
        attentions to skip blocks that are fully masked.
    """

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Any:
    """Return the empty decode state, a tree of arrays, for up to `length` tokens."""
    if not self.decodes:
      raise TypeError(f"{type(self).__name__} does not decode.")
    return self.stack.initial_states(batch_size, length, dtype)

  def extend(
    self, tokens: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[jax.Array, Any]:
    """Return logits [B, T, V] of the next T tokens, and the new decode state.

    The logits equal those of the full pass.
    """
    raise TypeError(f"{type(self).__name__} does not decode.")

  @abc.abstractmethod
  def attention_weights(self, tokens: jax.Array, positions: jax.Array) -> Any:
    """Return a list or stack over layers of tuples of weights [B, N, T, S]."""

  @property
  def stack(self) -> Stack:
    """Stack of layers of an architecture that has one place."""
    (attentions,) = self.attentions.values()
    return Stack(self.options, tuple((build,) for build in attentions))

  def token_vectors(self, name: str = "token_embedding") -> hk.Embed:
    """Return the module that embeds tokens, with its table [V, D]."""
    init = self.options.embedding_init
    return hk.Embed(self.vocabulary_size, self.options.d_model, w_init=init, name=name)

  def embed(
    self, tokens: jax.Array, positions: jax.Array, table: hk.Embed, scale: float = 1.0
  ) -> jax.Array:
    """Embed tokens and positions: [B, T], [B, T] → [B, T, D]."""
    x = table(tokens)
    x = self.position().embed(x if scale == 1 else scale * x, positions)
    return drop(x, self.options.dropout)

  def final_norm(self, x: jax.Array, name: str = "final_norm") -> jax.Array:
    """Normalise the output [B, T, D] of pre-norm layers; return that of post-norm ones."""
    if self.options.norm == "post":
      return x
    return self.options.make_norm(name)(x)

  def logits(self, x: jax.Array, embeddings: jax.Array) -> jax.Array:
    """Compute logits of vectors x and the embedding table: [B, T, D], [V, D] → [B, T, V].

    If a model returns these logits unchanged, the loss can be computed without forming
    all of them.
    """
    options = self.options
    if not options.tied_embeddings:
      linear = Linear(
        self.vocabulary_size, options.logits_bias, options.w_init, "logits"
      )
      table = linear.weights(x.shape[-1], x.dtype).T
      return record_head(linear(x), Head(x, table, linear.bias(x.dtype)))
    logits, bias = matmul(x, embeddings.T), None
    if options.logits_bias:
      bias = hk.get_parameter("logits_bias", logits.shape[-1:], init=jnp.zeros)
      logits += jnp.broadcast_to(bias, logits.shape)
    return record_head(logits, Head(x, embeddings, bias))

  def layers(
    self,
    x: jax.Array,
    mix: Callable[[Attention, jax.Array, Any], tuple[jax.Array, Any]],
    per_layer: Any = (),
  ) -> Any:
    """Apply all layers of an architecture that has one place.

    Args:
      x: [B, T, D].
      mix: (attention, x, layer input) → ([B, T, D], layer output).
      per_layer: inputs of the layers, as for `Stack`.

    Returns:
      [B, T, D], and the layers' outputs in the form of `per_layer`.
    """

    def use(block: Any, x: jax.Array, layer_input: Any) -> tuple[jax.Array, Any]:
      x, (output,) = block(x, lambda attention, x: mix(attention, x, layer_input))
      return x, output

    return self.stack(x, use, per_layer)


class Model(NamedTuple):
  """An `Architecture` as pure functions of its parameters.

  Dropout and random positions need a random key; None disables them. An architecture
  that learns pairs takes the source as last argument of all functions but `extend`.
  """

  init: Callable[..., Any]  # (key, tokens, positions) → parameters
  apply: Callable[..., Any]  # (parameters, key, tokens, positions) → logits
  initial_state: Callable[..., Any]  # (parameters, None, batch, length, dtype) → state
  extend: Callable[..., Any]  # (parameters, None, tokens, state, positions) → as above
  attention_weights: Callable[
    ..., Any
  ]  # (parameters, None, tokens, positions) → as above
  # Matrices that do not decay (`Module.undecayed`): a set that `init` fills when traced.
  undecayed: Collection[tuple[str, str]]
  # The token in front of each document, if they are kept apart. Only `apply` and
  # `attention_weights` act on it; a caller of `extend` empties the state at each one.
  separator: int | None


class Declared(set[tuple[str, str]]):
  """A set that is hashed by its identity: a `Model`, which has it, is a key of caches."""

  __hash__ = object.__hash__  # type: ignore[assignment]


def as_functions(build: Callable[[], Architecture]) -> Model:
  """Transform the architecture that `build` makes into pure functions."""
  undecayed = Declared()

  def collect(
    create: Any, shape: Any, dtype: Any, init: Any, context: Any
  ) -> jax.Array:
    module, _, name = context.full_name.rpartition("/")
    if name in getattr(context.module, "undecayed", ()):
      undecayed.add((module, name))
    return create(shape, dtype, init)

  def methods() -> Any:
    net = build()

    def call(*inputs: Any) -> Any:
      with shared_sample(net.position()), hk.custom_creator(collect):
        return net(*inputs)

    return call, (call, net.initial_state, net.extend, net.attention_weights)

  init, functions = hk.multi_transform(methods)
  apply, initial_state, extend, weights = functions
  separator = hk.transform(lambda: build().separator).apply({}, None)
  return Model(init, apply, initial_state, extend, weights, undecayed, separator)


CONTRACT = Contract(
  Architecture,
  {"places": Names(KINDS), "tasks": Names(TASKS)},
  more_arguments=1,  # The source of pairs.
)
architectures = Registry(
  "architecture", CONTRACT, fields_of(Architecture), "architecture.name"
)
register_architecture = architectures.register
