"""Causal language model of stacked blocks (GPT: Radford et al., 2018 and 2019)."""

import dataclasses
from typing import Any, ClassVar

import jax

from attention_lab.architecture.base.architecture import (
  Architecture,
  register_architecture,
)
from attention_lab.architecture.base.mixing import (
  attend,
  attend_with_weights,
  self_mask,
)
from attention_lab.attention.base.attention import Attention
from attention_lab.kernel.mask import Mask


@register_architecture("decoder_only")
@dataclasses.dataclass(kw_only=True)
class DecoderOnly(Architecture):
  """Embeds tokens, applies causal layers, and predicts the next token.

  With a prefix it is a prefix language model (Raffel et al., arXiv:1910.10683, section
  3.2.2; UniLM, arXiv:1905.03197): the first tokens of a sequence see each other in both
  directions, and only the tokens behind them are predicted.
  """

  prefix: int = 0  # First tokens that see each other; none of them is a target.

  separates_documents: ClassVar[bool] = True

  def __call__(self, tokens: jax.Array, positions: jax.Array | None) -> jax.Array:
    mask = self._mask(tokens, positions)
    return self._around(tokens, mask.query_positions, attend(mask))[0]

  def extend(
    self, tokens: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[jax.Array, Any]:
    def mix(attention: Attention, x: jax.Array, state: Any) -> tuple[jax.Array, Any]:
      return attention.extend(x, state, positions)

    return self._around(tokens, positions, mix, state)

  def attention_weights(self, tokens: jax.Array, positions: jax.Array) -> Any:
    mask = self._mask(tokens, positions)
    return self._around(tokens, mask.query_positions, attend_with_weights(mask))[1]

  def _mask(self, tokens: jax.Array, positions: jax.Array | None) -> Mask:
    return self_mask(
      tokens, positions, causal=True, separator=self.separator, prefix=self.prefix
    )

  def _around(
    self, tokens: jax.Array, positions: jax.Array, mix: Any, per_layer: Any = ()
  ) -> tuple[jax.Array, Any]:
    """Return the logits, and the layers' outputs in the form of `per_layer`."""
    table = self.token_vectors()
    x = self.embed(tokens, positions, table)
    x, outputs = self.layers(x, mix, per_layer)
    return self.logits(self.final_norm(x), table.embeddings), outputs
