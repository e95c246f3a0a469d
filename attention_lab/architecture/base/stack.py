"""Layers one after another: each of them compiled, or one for all that are the same."""

import dataclasses
from collections.abc import Callable
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.architecture.base.block import Block
from attention_lab.architecture.base.options import Options
from attention_lab.attention.base.attention import Attention

UNROLLED_LAYERS = 8  # Up to so many layers, "auto" compiles each of them.

Build = Callable[[], Attention]
# What a layer is used for: (block, x [B, T, D], layer's input) → (x, layer's output).
Use = Callable[[Block, jax.Array, Any], tuple[jax.Array, Any]]


@dataclasses.dataclass(frozen=True)
class Stack:
  """The layers of one side of a model; its parameters are the calling module's."""

  options: Options
  attentions: tuple[
    tuple[Build, ...], ...
  ]  # Of each layer, in the order of its blocks.
  name: str = "layer"  # What the layers' parameters are filed under.

  @property
  def scanned(self) -> bool:
    """Whether the layers are one scanned layer: compile time free of the depth.

    Only where all are the same. A scan slows a small model's step down on CPU, so a
    shallow stack is unrolled unless it is asked for.
    """
    if len(set(self.attentions)) > 1 or self.options.layer_stack == "never":
      return False
    many = len(self.attentions) > UNROLLED_LAYERS
    return self.options.layer_stack == "always" or many

  def __call__(self, x: jax.Array, use: Use, per_layer: Any = ()) -> Any:
    """Runs all blocks over x.

    Args:
      x: [B, T, D].
      use: what is done with each block.
      per_layer: one input for each layer: a list, or where `scanned` a tree whose leaves
        lead with the layer. Empty for none.

    Returns:
      [B, T, D] and the layers' outputs, in the form of `per_layer`.
    """

    def layer(attentions: tuple[Build, ...], name: str) -> Callable[..., Any]:
      def body(x: jax.Array, given: Any) -> tuple[jax.Array, Any]:
        return use(Block(self.options, attentions, name), x, given)

      return hk.remat(body) if self.options.rematerialise else body

    if self.scanned:
      scan = hk.layer_stack(
        len(self.attentions), with_per_layer_inputs=True, name=f"{self.name}s"
      )
      return scan(layer(self.attentions[0], self.name))(x, per_layer)
    outputs = []
    for i, attentions in enumerate(self.attentions):
      given = per_layer[i] if per_layer else ()
      x, output = layer(attentions, f"{self.name}_{i}")(x, given)
      outputs.append(output)
    return x, outputs

  def initial_states(self, batch_size: int, length: int, dtype: Any) -> Any:
    """The empty decode state of every layer's first attention, as `per_layer`."""
    states = [
      attentions[0]().initial_state(batch_size, length, dtype)
      for attentions in (self.attentions[:1] if self.scanned else self.attentions)
    ]
    if not self.scanned:
      return states
    repeat = lambda x: jnp.broadcast_to(x, (len(self.attentions), *x.shape))  # noqa: E731
    return jax.tree.map(repeat, states[0])
