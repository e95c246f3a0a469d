"""Bidirectional encoder of stacked blocks (BERT: Devlin et al., arXiv:1810.04805)."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp

from attention_lab.architecture.base.architecture import (
  Architecture,
  register_architecture,
)
from attention_lab.architecture.base.mixing import (
  attend,
  attend_with_weights,
  self_mask,
)
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask, default_positions


@register_architecture("encoder")
@dataclasses.dataclass(kw_only=True)
class Encoder(Architecture):
  """Embeds tokens, applies bidirectional layers, and labels each token or the sequence.

  Each token attends to the tokens after it, too. The encoder therefore takes no dataset
  whose targets are its shifted inputs, and it generates no text. On a text it learns masked
  language modelling: --dataset="masked(of='python_docs')".
  """

  # Vectors that the logits are computed from: "token" for that of each token, "pooled"
  # for the mean of all, repeated at every position. With a dataset whose weights select
  # one position, "pooled" is sequence classification.
  head: Literal["token", "pooled"] = "token"

  places: ClassVar[Mapping[str, str]] = MappingProxyType({"encoder": "bidirectional"})
  tasks: ClassVar[tuple[str, ...]] = ("labels", "masked")
  decodes: ClassVar[bool] = False
  separates_documents: ClassVar[bool] = True

  def __call__(self, tokens: jax.Array, positions: jax.Array | None) -> jax.Array:
    mask = self._mask(tokens, positions)
    x, embeddings, _ = self._encode(tokens, mask.query_positions, attend(mask))
    if self.head == "pooled":
      x = masked_mean(x, mask.query_positions)
    logits = self.logits(x, embeddings)
    return jnp.broadcast_to(logits, (*tokens.shape, logits.shape[-1]))

  def attention_weights(self, tokens: jax.Array, positions: jax.Array) -> Any:
    mask = self._mask(tokens, positions)
    mix = attend_with_weights(mask)
    return self._encode(tokens, mask.query_positions, mix)[2]

  def _mask(self, tokens: jax.Array, positions: jax.Array | None) -> Mask:
    if self.separator is not None and self.head == "pooled":
      raise UserError(
        "--architecture='encoder(head=pooled)' labels a sequence as a whole, so it cannot "
        "keep documents apart. Omit --config.data.document_mask, or take head=token."
      )
    at = self._without_padding(tokens, positions)
    return self_mask(tokens, at, causal=False, separator=self.separator)

  def _without_padding(
    self, tokens: jax.Array, positions: jax.Array | None
  ) -> jax.Array | None:
    """Return the positions [B, T] or None, negative where a token is padding."""
    if self.padding is None:
      return positions
    at = default_positions(tokens) if positions is None else positions
    return jnp.where(tokens == self.padding, -1, at)

  def _encode(
    self, tokens: jax.Array, positions: jax.Array, mix: Any
  ) -> tuple[jax.Array, jax.Array, Any]:
    """Return vectors [B, T, D], the embedding table [V, D] and the layers' outputs."""
    table = self.token_vectors()
    x, outputs = self.layers(self.embed(tokens, positions, table), mix)
    return self.final_norm(x), table.embeddings, outputs


def masked_mean(x: jax.Array, positions: jax.Array) -> jax.Array:
  """Return the mean of x over non-negative positions; zeros if all are negative.

  x [B, T, D], positions [B, T] → [B, 1, D]. Computed in float32 at least.
  """
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  real = (positions >= 0)[:, :, None]
  total = jnp.where(real, wide, 0).sum(axis=1, keepdims=True)
  mean = total / jnp.maximum(real.sum(axis=1, keepdims=True), 1)
  return mean.astype(x.dtype)
