"""Autoencoder: a sequence is rebuilt from the vector of its last token.

The model of the compression task of MAD (Poli et al., arXiv:2403.17844).
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention_lab.architecture.base.architecture import (
  Architecture,
  register_architecture,
)
from attention_lab.architecture.base.mixing import (
  Mix,
  attend,
  attend_with_weights,
  self_mask,
)
from attention_lab.kernel.mask import Mask
from attention_lab.nn.gelu import gelu
from attention_lab.nn.linear import Linear
from attention_lab.position.sinusoidal import Sinusoidal


@register_architecture("autoencoder")
@dataclasses.dataclass(kw_only=True)
class Autoencoder(Architecture):
  """Applies causal layers, and predicts every token from the last one's vector alone.

  Each position's sines and cosines are added to that vector; two linear layers with GELU
  then predict the token there. So the vector has to hold the whole sequence: model.d_model
  limits what can be rebuilt. It generates no text.
  """

  places: ClassVar[Mapping[str, str]] = MappingProxyType({"encoder": "causal"})
  tasks: ClassVar[tuple[str, ...]] = ("reconstruction",)
  decodes: ClassVar[bool] = False

  def __call__(self, tokens: jax.Array, positions: jax.Array | None) -> jax.Array:
    mask = self_mask(tokens, positions, causal=True)
    at = mask.query_positions
    x, embeddings, _ = self._encode(tokens, mask, attend(mask))
    last = jnp.argmax(at, axis=1)[:, None, None]
    x = jnp.take_along_axis(x, last, axis=1)  # [B, 1, D]
    x = Sinusoidal(max_length=at.shape[1]).embed(
      jnp.broadcast_to(x, (*at.shape, x.shape[-1])), at
    )
    for name in ("decoder_1", "decoder_2"):
      linear = Linear(self.options.d_model, True, self.options.w_init, name)
      x = gelu(linear(self.options.make_norm(f"{name}_norm")(x)))
    return self.logits(self.options.make_norm("decoder_norm")(x), embeddings)

  def attention_weights(self, tokens: jax.Array, positions: jax.Array) -> Any:
    mask = self_mask(tokens, positions, causal=True)
    return self._encode(tokens, mask, attend_with_weights(mask))[2]

  def _encode(
    self, tokens: jax.Array, mask: Mask, mix: Mix
  ) -> tuple[jax.Array, jax.Array, Any]:
    """Return vectors [B, T, D], the embedding table [V, D] and the layers' outputs."""
    table = self.token_vectors()
    x, outputs = self.layers(self.embed(tokens, mask.query_positions, table), mix)
    return self.final_norm(x), table.embeddings, outputs
