"""A stack in which every token sees every other (BERT: Devlin et al., arXiv:1810.04805)."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.architecture.base.architecture import (
  Architecture,
  register_architecture,
)
from attention_lab.architecture.base.mixing import among, self_mask, watched_among


@register_architecture("encoder")
@dataclasses.dataclass(kw_only=True)
class Encoder(Architecture):
  """Embeds tokens, mixes all of them layer by layer, and labels each or the whole.

  It sees what follows a token, so it takes no dataset whose targets are its inputs
  shifted, and continues no text.
  """

  # What the logits are made of: each token's own vector, or the mean of all, which then
  # stands at every position. With a dataset that weighs one position: classification.
  head: Literal["token", "pooled"] = "token"

  places: ClassVar[Mapping[str, str]] = MappingProxyType({"encoder": "bidirectional"})
  tasks: ClassVar[tuple[str, ...]] = ("labels",)
  decodes: ClassVar[bool] = False

  def __call__(self, tokens: jax.Array, positions: jax.Array | None) -> jax.Array:
    mask = self_mask(tokens, positions, causal=False)
    x, embeddings, _ = self._encode(tokens, mask.query_positions, among(mask))
    if self.head == "pooled":
      x = mean_of_real(x, mask.query_positions)
    logits = self.logits(x, embeddings)
    return jnp.broadcast_to(logits, (*tokens.shape, logits.shape[-1]))

  def attention_weights(self, tokens: jax.Array, positions: jax.Array) -> Any:
    mask = self_mask(tokens, positions, causal=False)
    return self._encode(tokens, positions, watched_among(mask))[2]

  @hk.name_like("__call__")
  def _encode(
    self, tokens: jax.Array, positions: jax.Array, mix: Any
  ) -> tuple[jax.Array, jax.Array, Any]:
    """Vectors [B, T, D], the tokens' table [V, D], and what `mix` had for each layer."""
    table = self.token_vectors()
    x, outputs = self.layers(self.embed(tokens, positions, table), mix)
    return self.final_norm(x), table.embeddings, outputs


def mean_of_real(x: jax.Array, positions: jax.Array) -> jax.Array:
  """The mean of x where positions are not negative; zeros where all are.

  [B, T, D], [B, T] → [B, 1, D].
  """
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  real = (positions >= 0)[:, :, None]
  total = jnp.where(real, wide, 0).sum(axis=1, keepdims=True)
  mean = total / jnp.maximum(real.sum(axis=1, keepdims=True), 1)
  return mean.astype(x.dtype)
