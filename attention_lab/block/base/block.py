"""Contract of a block, a layer of a Transformer: one method to write."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax

from attention_lab.attention.base.attention import Attention
from attention_lab.block.base.options import Options
from attention_lab.nn.dropout import drop
from attention_lab.nn.gelu import gelu
from attention_lab.nn.linear import Linear
from attention_lab.nn.module import Module
from attention_lab.norm.base.norm import Norm
from attention_lab.plugin.contract import Contract, Names
from attention_lab.plugin.registry import Registry, fields_of

# (attention, x [B, T, D]) → ([B, T, D], any further output)
Mix = Callable[[Attention, jax.Array], tuple[jax.Array, Any]]

NORMS = ("pre", "post")


@dataclasses.dataclass(kw_only=True)
class Block(Module):
  """Combines attentions, normalisation and the feed-forward network into a layer.

  The architecture supplies the fields below; the fields of a subclass are its options.
  """

  options: Options
  # Builders of one or two attentions, the second of which is cross-attention.
  attentions: tuple[Callable[[], Attention], ...]
  name: str | None = None  # Of the layer, in the names of its parameters.

  # Values of the setting `model.norm` that it supports.
  norms: ClassVar[tuple[str, ...]] = NORMS
  # Whether it takes a second attention, as the decoder of pairs needs.
  has_cross: ClassVar[bool] = False

  @abc.abstractmethod
  def __call__(self, x: jax.Array, *mixes: Mix) -> tuple[jax.Array, tuple[Any, ...]]:
    """Apply the layer.

    Args:
      x: [B, T, D].
      *mixes: functions that apply an attention to a vector, one for each attention:
        `y, output = mix(attention, x)`.

    Returns:
      [B, T, D], and the further output of each mix.
    """

  def memorise(self, context: jax.Array, positions: jax.Array) -> Any:
    """Return the memory that cross-attention keeps of a context [B, S, D]."""
    _, cross = [build() for build in self.attentions]
    return cross.memorise(context, positions)

  def norm(self, name: str) -> Norm:
    """Return the normalisation of the setting `model.norm_layer`."""
    return self.options.make_norm(name)

  def drop(self, x: jax.Array) -> jax.Array:
    """Apply dropout to the output of a sublayer."""
    return drop(x, self.options.dropout)

  def feed_forward(self, x: jax.Array) -> jax.Array:
    """Apply the feed-forward network: [B, T, D] → [B, T, D]."""
    options = self.options

    def linear(size: int, init: Any, name: str) -> Linear:
      return Linear(size, options.feed_forward_bias, init, name)

    hidden = linear(options.d_ff, options.w_init, "feed_forward_in")(x)
    if options.activation == "swiglu":  # Shazeer, arXiv:2002.05202
      gate = linear(options.d_ff, options.w_init, "feed_forward_gate")(x)
      hidden = jax.nn.silu(gate) * hidden
    elif options.activation == "gelu":
      hidden = gelu(hidden)
    else:
      hidden = jax.nn.relu(hidden)
    return linear(options.d_model, options.output_init, "feed_forward_out")(hidden)


CONTRACT = Contract(Block, {"norms": Names(NORMS)})
blocks = Registry("block", CONTRACT, fields_of(Block), "model.block")
register_block = blocks.register
