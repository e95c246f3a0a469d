"""What an architecture is: tokens to logits, whole or a few tokens at a time."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.architecture.block import Block
from attention_lab.architecture.head import show_head
from attention_lab.architecture.options import Options
from attention_lab.attention.base import Attention
from attention_lab.cross_entropy import Head
from attention_lab.dropout import drop
from attention_lab.linear import Linear, matmul
from attention_lab.norm import LayerNorm
from attention_lab.position.base import Position, one_draw
from attention_lab.registry import Registry, fields_of

UNROLLED_LAYERS = 8  # Up to so many layers, "auto" compiles each of them.


@dataclasses.dataclass(kw_only=True)
class Architecture(hk.Module):
  """Puts attentions, a positional scheme and blocks together.

  The fields below are given by the experiment; a subclass's own fields are its options.
  """

  options: Options
  vocabulary_size: int
  attentions: tuple[Callable[[], Attention], ...]  # One for each layer.
  position: Callable[[], Position]

  # Which of the `kinds` that an attention can be its layers ask for.
  kinds: ClassVar[tuple[str, ...]] = ("causal",)

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
    for method in ("extend", "attention_weights"):  # All find the same parameters.
      if method in vars(cls):
        hk.name_like("__call__")(vars(cls)[method])

  @abc.abstractmethod
  def __call__(self, tokens: jax.Array, positions: jax.Array | None) -> jax.Array:
    """Logits of whole sequences.

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
    return self.layer_states(batch_size, length, dtype)

  def extend(
    self, tokens: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[jax.Array, Any]:
    """Logits [B, T, V] of the next T tokens, equal to the full pass, and new state."""
    raise TypeError(f"{type(self).__name__} does not decode.")

  @abc.abstractmethod
  def attention_weights(self, tokens: jax.Array, positions: jax.Array) -> Any:
    """A list or stack over layers of tuples of weights [B, N, T, S]."""

  @property
  def stacked(self) -> bool:
    """Whether the layers are one scanned layer: compile time free of the depth.

    Only where all are the same. A scan slows a small model's step down on CPU, so a
    shallow stack is unrolled unless it is asked for.
    """
    count = len(self.attentions)
    if len(set(self.attentions)) > 1 or self.options.layer_stack == "never":
      return False
    return self.options.layer_stack == "always" or count > UNROLLED_LAYERS

  @hk.name_like("__call__")
  def embed(
    self, tokens: jax.Array, positions: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Tokens with their positions as vectors [B, T, D], and the table [V, D] of them."""
    embedding = hk.Embed(
      self.vocabulary_size,
      self.options.d_model,
      w_init=self.options.embedding_init,
      name="token_embedding",
    )
    x = self.position().embed(embedding(tokens), positions)
    return drop(x, self.options.dropout), embedding.embeddings

  @hk.name_like("__call__")
  def final_norm(self, x: jax.Array) -> jax.Array:
    """What pre-norm blocks leave to be normalised after the last one: [B, T, D]."""
    if self.options.norm == "post":
      return x
    return LayerNorm(self.options.norm_offset, "final_norm")(x)

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
  def layers(self, x: jax.Array, mix: Callable[..., Any], per_layer: Any = ()) -> Any:
    """Runs all blocks over x [B, T, D].

    Args:
      x: [B, T, D].
      mix: (attention, x, layer's input) → ([B, T, D], layer's output).
      per_layer: one input for each layer: a list, or where `stacked` a tree whose
        leaves lead with the layer. Empty for none.

    Returns:
      [B, T, D] and the layers' outputs, in the form of `per_layer`.
    """

    def layer(attention: Callable[[], Attention], name: str) -> Callable[..., Any]:
      def body(x: jax.Array, given: Any) -> tuple[jax.Array, Any]:
        block = Block(self.options, attention, name)
        return block(x, lambda attention, x: mix(attention, x, given))

      return hk.remat(body) if self.options.rematerialise else body

    if self.stacked:
      stack = hk.layer_stack(
        len(self.attentions), with_per_layer_inputs=True, name="layers"
      )
      return stack(layer(self.attentions[0], "layer"))(x, per_layer)
    outputs = []
    for i, attention in enumerate(self.attentions):
      given = per_layer[i] if per_layer else ()
      x, output = layer(attention, f"layer_{i}")(x, given)
      outputs.append(output)
    return x, outputs

  def layer_states(self, batch_size: int, length: int, dtype: Any) -> Any:
    """Every layer's empty decode state, in the form that `layers` takes."""
    states = [
      attention().initial_state(batch_size, length, dtype)
      for attention in (self.attentions[:1] if self.stacked else self.attentions)
    ]
    if not self.stacked:
      return states
    repeat = lambda x: jnp.broadcast_to(x, (len(self.attentions), *x.shape))  # noqa: E731
    return jax.tree.map(repeat, states[0])


class Model(NamedTuple):
  """An architecture as pure functions of its parameters.

  A random key turns dropout and drawn positions on; None turns them off.
  """

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
