"""The Transformer's layer, sublayer after sublayer (Vaswani et al., arXiv:1706.03762)."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import jax

from attention_lab.block.base.block import Block, Mix, register_block

NAMES = ("attention_norm", "cross_attention_norm")  # Of the attentions' norms.


@register_block("sequential")
@dataclasses.dataclass(kw_only=True)
class Sequential(Block):
  """Sublayers f one after another: the attentions, then the feed-forward network.

  The first equation is pre-norm (GPT-2; arXiv:2002.04745), the second post-norm, as in the
  Transformer.

  Equation:
    y = x + f(norm(x))
    y = norm(x + f(x))
  """

  has_cross: ClassVar[bool] = True

  def __call__(self, x: jax.Array, *mixes: Mix) -> tuple[jax.Array, tuple[Any, ...]]:
    outputs = []
    attentions = [build() for build in self.attentions]
    for attention, mix, name in zip(attentions, mixes, NAMES, strict=False):
      x, output = self._sublayer(x, partial(mix, attention), name)
      outputs.append(output)
    feed_forward = lambda x: (self.feed_forward(x), None)  # noqa: E731
    x, _ = self._sublayer(x, feed_forward, "feed_forward_norm")
    return x, tuple(outputs)

  def _sublayer(
    self, x: jax.Array, f: Callable[[jax.Array], tuple[jax.Array, Any]], name: str
  ) -> tuple[jax.Array, Any]:
    norm = self.norm(name)
    if self.options.norm == "pre":
      y, output = f(norm(x))
      return x + self.drop(y), output
    y, output = f(x)
    return norm(x + self.drop(y)), output
