"""One Transformer layer: attention and feed-forward, each with norm and residual."""

from collections.abc import Callable
from functools import partial
from typing import Any

import haiku as hk
import jax

from attention_lab.architecture.base.options import Options
from attention_lab.attention.base.attention import Attention
from attention_lab.nn.dropout import drop
from attention_lab.nn.gelu import gelu
from attention_lab.nn.layer_norm import LayerNorm
from attention_lab.nn.linear import Linear

# Calls an attention on x and returns [B, T, D] and whatever else the caller wants out.
Mix = Callable[[Attention, jax.Array], tuple[jax.Array, Any]]

NORMS = ("attention_norm", "cross_attention_norm")


class Block(hk.Module):
  """x + f(norm(x)) for each sublayer f (pre-norm), or norm(x + f(x)) (post-norm).

  The sublayers are one attention, or two of which the second reads another sequence, and
  then the feed-forward one.

  Post-norm is the Transformer's (arXiv:1706.03762), pre-norm GPT-2's (arXiv:2002.04745).
  """

  def __init__(
    self, options: Options, attentions: tuple[Callable[[], Attention], ...], name: str
  ):
    super().__init__(name=name)
    self._options = options
    self._attentions = attentions

  def __call__(self, x: jax.Array, *mixes: Mix) -> tuple[jax.Array, tuple[Any, ...]]:
    """[B, T, D] → [B, T, D], with what each attention's `mix` returned beside it."""
    extras = []
    attentions = [build() for build in self._attentions]
    for attention, mix, norm in zip(attentions, mixes, NORMS, strict=False):
      x, extra = self._sublayer(x, partial(mix, attention), norm)
      extras.append(extra)
    x, _ = self._sublayer(
      x, lambda x: (self._feed_forward(x), None), "feed_forward_norm"
    )
    return x, tuple(extras)

  @hk.name_like("__call__")
  def memorise(self, context: jax.Array, positions: jax.Array) -> Any:
    """What the second attention keeps of another sequence [B, S, D]."""
    _, cross = [build() for build in self._attentions]
    return cross.memorise(context, positions)

  @hk.name_like("__call__")
  def _sublayer(
    self, x: jax.Array, f: Callable[[jax.Array], tuple[jax.Array, Any]], norm_name: str
  ) -> tuple[jax.Array, Any]:
    options = self._options
    norm = LayerNorm(options.norm_offset, norm_name)
    if options.norm == "pre":
      y, extra = f(norm(x))
      return x + drop(y, options.dropout), extra
    y, extra = f(x)
    return norm(x + drop(y, options.dropout)), extra

  @hk.name_like("__call__")
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
