"""Stack of layers, either unrolled or compiled once and scanned."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import Attention
from attention_lab.block.base.block import Block, blocks
from attention_lab.block.base.options import Options

UNROLLED_LAYERS = 8  # Largest number of layers that "auto" unrolls.

Build = Callable[..., Attention]  # Takes the number of its layer: layer=1.
# (block, x [B, T, D], layer input) → (x, layer output)
Use = Callable[[Block, jax.Array, Any], tuple[jax.Array, Any]]


@dataclasses.dataclass(frozen=True)
class Stack:
  """Layers of an encoder or a decoder; the calling module owns the parameters."""

  options: Options
  attentions: tuple[tuple[Build, ...], ...]  # By layer, in the order of its sublayers.
  name: str = "layer"  # Prefix of the names of the layers' parameters.

  @property
  def scanned(self) -> bool:
    """True if the layers are one scanned layer, whose compile time is constant in depth.

    Only equal layers can be scanned. A scan slows down the steps of a small model on
    CPU, so "auto" unrolls shallow stacks.
    """
    if len(set(self.attentions)) > 1 or self.options.layer_stack == "never":
      return False
    many = len(self.attentions) > UNROLLED_LAYERS
    return self.options.layer_stack == "always" or many

  def __call__(self, x: jax.Array, use: Use, per_layer: Any = ()) -> Any:
    """Apply all layers to x.

    Args:
      x: [B, T, D].
      use: function that applies a block.
      per_layer: inputs of the layers: a list, or if `scanned` a tree whose leaves have
        the layer as first axis. Empty for no inputs.

    Returns:
      [B, T, D], and the layers' outputs in the form of `per_layer`.
    """

    make = blocks.bind(self.options.block)

    def layer(number: Any, name: str, x: jax.Array, layer_input: Any) -> Any:
      builds = self.attentions[0 if self.scanned else number - 1]
      attentions = tuple(partial(build, layer=number) for build in builds)
      block = make(options=self.options, attentions=attentions, name=name)
      return use(block, x, layer_input)

    rematerialised = hk.remat if self.options.rematerialise else lambda body: body

    if self.scanned:
      scan = hk.layer_stack(
        len(self.attentions), with_per_layer_inputs=True, name=f"{self.name}s"
      )

      def body(x: jax.Array, numbered: Any) -> tuple[jax.Array, Any]:
        number, layer_input = numbered
        return layer(number, self.name, x, layer_input)

      numbers = jnp.arange(1, len(self.attentions) + 1)
      return scan(rematerialised(body))(x, (numbers, per_layer))
    outputs = []
    for i in range(len(self.attentions)):
      layer_input = per_layer[i] if per_layer else ()
      body = rematerialised(partial(layer, i + 1, f"{self.name}_{i}"))
      x, output = body(x, layer_input)
      outputs.append(output)
    return x, outputs

  def initial_states(self, batch_size: int, length: int, dtype: Any) -> Any:
    """Return the empty decode states of each layer's first attention, as `per_layer`."""
    states = [
      attentions[0]().initial_state(batch_size, length, dtype)
      for attentions in (self.attentions[:1] if self.scanned else self.attentions)
    ]
    if not self.scanned:
      return states
    repeat = lambda x: jnp.broadcast_to(x, (len(self.attentions), *x.shape))  # noqa: E731
    return jax.tree.map(repeat, states[0])
