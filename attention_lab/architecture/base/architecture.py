"""What an architecture is: tokens to logits, whole or a few tokens at a time."""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.architecture.base.head import show_head
from attention_lab.architecture.base.options import Options
from attention_lab.architecture.base.stack import Build, Stack
from attention_lab.attention.base.attention import Attention
from attention_lab.nn.cross_entropy import Head
from attention_lab.nn.dropout import drop
from attention_lab.nn.layer_norm import LayerNorm
from attention_lab.nn.linear import Linear, matmul
from attention_lab.plugin.registry import Registry, fields_of
from attention_lab.position.base.position import Position, one_draw


@dataclasses.dataclass(kw_only=True)
class Architecture(hk.Module):
  """Puts attentions, a positional scheme and blocks together.

  The fields below are given by the experiment; a subclass's own fields are its options.
  """

  options: Options
  vocabulary_size: int
  attentions: Mapping[str, tuple[Build, ...]]  # By place, one for each layer.
  position: Callable[[], Position]

  # The places that attentions have in it, and which of their `kinds` each place asks for.
  places: ClassVar[Mapping[str, str]] = MappingProxyType({"decoder": "causal"})

  # What it learns of what a dataset may offer (`Dataset.tasks`), the best first: one that
  # sees a token's successors would find its next token among its inputs.
  tasks: ClassVar[tuple[str, ...]] = ("next_token", "labels")

  # Whether it predicts the next token from those before, and so can continue a text. One
  # that does not writes no `extend`.
  decodes: ClassVar[bool] = True

  def __init_subclass__(cls, **kwargs: Any):
    super().__init_subclass__(**kwargs)
    if cls.decodes and cls.extend is Architecture.extend:
      raise TypeError(f"{cls.__name__} has no extend; write it, or decodes = False.")
    for method in ("initial_state", "extend", "attention_weights"):
      if method in vars(cls):  # All find the same parameters.
        hk.name_like("__call__")(vars(cls)[method])

  @abc.abstractmethod
  def __call__(self, tokens: jax.Array, positions: jax.Array | None) -> jax.Array:
    """Logits of whole sequences.

    One that learns pairs is given their source, too: here, in `attention_weights`, and
    last in `initial_state`; [B, S] int32, negative = padding.

    Args:
      tokens: [B, T] int32.
      positions: [B, T] int32, negative = padding; None for 0, 1, 2, …, which lets
        attentions skip what nobody sees.

    Returns:
      [B, T, V].
    """

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Any:
    """The empty decode state for up to `length` tokens: a tree of arrays."""
    if not self.decodes:
      raise TypeError(f"{type(self).__name__} does not decode.")
    return self.stack.initial_states(batch_size, length, dtype)

  def extend(
    self, tokens: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[jax.Array, Any]:
    """Logits [B, T, V] of the next T tokens, equal to the full pass, and new state."""
    raise TypeError(f"{type(self).__name__} does not decode.")

  @abc.abstractmethod
  def attention_weights(self, tokens: jax.Array, positions: jax.Array) -> Any:
    """A list or stack over layers of tuples of weights [B, N, T, S]."""

  @property
  def stack(self) -> Stack:
    """The layers of an architecture that has one place."""
    (attentions,) = self.attentions.values()
    return Stack(self.options, tuple((build,) for build in attentions))

  @hk.name_like("__call__")
  def token_vectors(self, name: str = "token_embedding") -> hk.Embed:
    """The table [V, D] of the tokens' vectors."""
    init = self.options.embedding_init
    return hk.Embed(self.vocabulary_size, self.options.d_model, w_init=init, name=name)

  @hk.name_like("__call__")
  def embed(
    self, tokens: jax.Array, positions: jax.Array, table: hk.Embed, scale: float = 1.0
  ) -> jax.Array:
    """Tokens with their positions as vectors: [B, T], [B, T] → [B, T, D]."""
    x = table(tokens)
    x = self.position().embed(x if scale == 1 else scale * x, positions)
    return drop(x, self.options.dropout)

  @hk.name_like("__call__")
  def final_norm(self, x: jax.Array, name: str = "final_norm") -> jax.Array:
    """What pre-norm blocks leave to be normalised after the last one: [B, T, D]."""
    if self.options.norm == "post":
      return x
    return LayerNorm(self.options.norm_offset, name)(x)

  @hk.name_like("__call__")
  def logits(self, x: jax.Array, embeddings: jax.Array) -> jax.Array:
    """Vectors, and the table of the tokens, to logits: [B, T, D], [V, D] → [B, T, V].

    A model that returns them as they are spares the loss to form them, where they are
    many.
    """
    options = self.options
    if not options.tied_embeddings:
      linear = Linear(
        self.vocabulary_size, options.logits_bias, options.w_init, "logits"
      )
      table = linear.weights(x.shape[-1], x.dtype).T
      return show_head(linear(x), Head(x, table, linear.bias(x.dtype)))
    logits, bias = matmul(x, embeddings.T), None
    if options.logits_bias:
      bias = hk.get_parameter("logits_bias", logits.shape[-1:], init=jnp.zeros)
      logits += jnp.broadcast_to(bias, logits.shape)
    return show_head(logits, Head(x, embeddings, bias))

  @hk.name_like("__call__")
  def layers(
    self,
    x: jax.Array,
    mix: Callable[[Attention, jax.Array, Any], tuple[jax.Array, Any]],
    per_layer: Any = (),
  ) -> Any:
    """Runs the blocks of an architecture that has one place over x [B, T, D].

    Args:
      x: [B, T, D].
      mix: (attention, x, layer's input) → ([B, T, D], layer's output).
      per_layer: one input for each layer, as `Stack` takes them.

    Returns:
      [B, T, D] and the layers' outputs, in the form of `per_layer`.
    """

    def use(block: Any, x: jax.Array, given: Any) -> tuple[jax.Array, Any]:
      x, (output,) = block(x, lambda attention, x: mix(attention, x, given))
      return x, output

    return self.stack(x, use, per_layer)


class Model(NamedTuple):
  """An architecture as pure functions of its parameters.

  A random key turns dropout and drawn positions on; None turns them off.
  """

  # One that learns pairs takes their source as one more argument of all but `extend`.
  init: Callable[..., Any]  # (key, tokens, positions) → parameters
  apply: Callable[..., Any]  # (parameters, key, tokens, positions) → logits
  initial_state: Callable[..., Any]  # (parameters, None, batch, length, dtype) → state
  extend: Callable[..., Any]  # (parameters, None, tokens, state, positions) → ...
  attention_weights: Callable[..., Any]  # (parameters, None, tokens, positions) → ...


def as_functions(build: Callable[[], Architecture]) -> Model:
  """Transforms the architecture that `build` makes into pure functions."""

  def methods() -> Any:
    net = build()

    def whole(*inputs: Any) -> Any:
      with one_draw(net.position()):
        return net(*inputs)

    return whole, (
      whole,
      net.initial_state,
      net.extend,
      net.attention_weights,
    )

  transformed = hk.multi_transform(methods)
  return Model(transformed.init, *transformed.apply)


architectures = Registry(
  "architecture", base=Architecture, given=fields_of(Architecture)
)
register_architecture = architectures.register
