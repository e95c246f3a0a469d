"""A Transformer layer: attention and feed-forward, each with norm and residual."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from attention_lab.architecture.base.options import Options
from attention_lab.attention.base.attention import Attention
from attention_lab.nn.dropout import drop
from attention_lab.nn.gelu import gelu
from attention_lab.nn.layer_norm import LayerNorm
from attention_lab.nn.linear import Linear
from attention_lab.nn.module import Module

# (attention, x [B, T, D]) → ([B, T, D], any further output)
Mix = Callable[[Attention, jax.Array], tuple[jax.Array, Any]]

NORMS = ("attention_norm", "cross_attention_norm")


class Block(Module):
  """x + f(norm(x)) for each sublayer f (pre-norm), or norm(x + f(x)) (post-norm).

  The sublayers are one or two attentions, the second of which is cross-attention,
  and the feed-forward network. The Transformer is post-norm (arXiv:1706.03762), GPT-2 is
  pre-norm (arXiv:2002.04745).
  """

  def __init__(
    self, options: Options, attentions: tuple[Callable[[], Attention], ...], name: str
  ):
    super().__init__(name=name)
    self._options = options
    self._attentions = attentions

  def __call__(self, x: jax.Array, *mixes: Mix) -> tuple[jax.Array, tuple[Any, ...]]:
    """Apply the layer to x [B, T, D]; return [B, T, D] and each mix's further output."""
    outputs = []
    attentions = [build() for build in self._attentions]
    for attention, mix, norm in zip(attentions, mixes, NORMS, strict=False):
      x, output = self._sublayer(x, partial(mix, attention), norm)
      outputs.append(output)
    x, _ = self._sublayer(
      x, lambda x: (self._feed_forward(x), None), "feed_forward_norm"
    )
    return x, tuple(outputs)

  def memorise(self, context: jax.Array, positions: jax.Array) -> Any:
    """Return the memory that cross-attention keeps of a context [B, S, D]."""
    _, cross = [build() for build in self._attentions]
    return cross.memorise(context, positions)

  def _sublayer(
    self, x: jax.Array, f: Callable[[jax.Array], tuple[jax.Array, Any]], norm_name: str
  ) -> tuple[jax.Array, Any]:
    options = self._options
    norm = LayerNorm(options.norm_offset, norm_name)
    if options.norm == "pre":
      y, output = f(norm(x))
      return x + drop(y, options.dropout), output
    y, output = f(x)
    return norm(x + drop(y, options.dropout)), output

  def _feed_forward(self, x: jax.Array) -> jax.Array:
    options = self._options

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
