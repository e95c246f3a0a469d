"""Builds an attention from its spec and a model's settings, inside a transform."""

from collections.abc import Callable

import jax

from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.block.base.options import Options
from attention_lab.plugin.spec import Spec
from attention_lab.position.base.position import Position


def attention_builder(
  spec: Spec,
  options: Options,
  position: Callable[[], Position],
  kernel: str,
  prefix: int = 0,
) -> Callable[..., Attention]:
  """Return a function that builds the attention of a spec, inside a transform.

  The number of its layer is an argument of the function: `layer`, by default 1.
  """
  attention = attentions.bind(spec)

  def build(layer: int | jax.Array = 1) -> Attention:
    return attention(
      num_heads=options.num_heads,
      key_size=options.key_size,
      d_model=options.d_model,
      position=position(),
      w_init=options.w_init,
      output_init=options.output_init,
      kernel=kernel,
      prefix_length=prefix,
      layer=layer,
      num_layers=options.num_layers,
    )

  return build
