"""Attention and feed-forward side by side (GPT-J, 2021; PaLM, arXiv:2204.02311)."""

import dataclasses
from typing import Any, ClassVar

import jax

from attention_lab.block.base.block import Block, Mix, register_block


@register_block("parallel")
@dataclasses.dataclass(kw_only=True)
class Parallel(Block):
  """Attention and feed-forward network of the same normalised vectors.

  Equation:
    y = x + attention(norm(x)) + feed_forward(norm(x))
  """

  norms: ClassVar[tuple[str, ...]] = ("pre",)

  def __call__(self, x: jax.Array, *mixes: Mix) -> tuple[jax.Array, tuple[Any, ...]]:
    (build,), (mix,) = self.attentions, mixes
    normed = self.norm("norm")(x)
    y, output = mix(build(), normed)
    return x + self.drop(y) + self.drop(self.feed_forward(normed)), (output,)
