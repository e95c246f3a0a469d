"""Encoder-decoder Transformer (Vaswani et al., arXiv:1706.03762)."""

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

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
from attention_lab.architecture.base.stack import Stack
from attention_lab.block.base.block import Block
from attention_lab.kernel.mask import Mask, default_positions


class Memory(NamedTuple):
  """Output of the encoder."""

  context: jax.Array  # [B, S, D]
  positions: jax.Array  # [B, S] int32; negative for padding


@register_architecture("encoder_decoder")
@dataclasses.dataclass(kw_only=True)
class EncoderDecoder(Architecture):
  """Encodes a source bidirectionally and decodes the target causally.

  Each decoder layer also attends to the encoded source. The encoder and the decoder have
  `num_layers` layers each.
  """

  scaled_embeddings: bool = True  # Multiply embeddings by √d_model.
  shared_embedding: bool = True  # One table for source and target.

  places: ClassVar[Mapping[str, str]] = MappingProxyType(
    {"encoder": "bidirectional", "decoder": "causal", "cross": "cross"}
  )
  tasks: ClassVar[tuple[str, ...]] = ("pairs",)

  def __call__(  # type: ignore[override]  # Takes a source, too.
    self, tokens: jax.Array, positions: jax.Array | None, source: jax.Array
  ) -> jax.Array:
    return self._whole(tokens, positions, source, attend)[0]

  def initial_state(  # type: ignore[override]
    self, batch_size: int, length: int, dtype: Any, source: jax.Array
  ) -> Any:
    """Return the empty decode state and every layer's memory of `source` [B, S]."""
    memory, _ = self._encode(source, attend)

    def use(block: Block, x: jax.Array, _: Any) -> tuple[jax.Array, Any]:
      return x, block.memorise(memory.context, memory.positions)

    _, memories = self._decoder(memory.context, use)
    states = self._decoder.initial_states(batch_size, length, dtype)
    if self._decoder.scanned:
      return states, memories
    return list(zip(states, memories, strict=True))

  def extend(
    self, tokens: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[jax.Array, Any]:
    def use(block: Block, x: jax.Array, layer_input: Any) -> tuple[jax.Array, Any]:
      state, memory = layer_input
      return block(
        x,
        lambda attention, x: attention.extend(x, state, positions),
        lambda attention, x: (attention.recall(x, positions, memory), memory),
      )

    return self._decode(tokens, positions, use, state)

  def attention_weights(  # type: ignore[override]
    self, tokens: jax.Array, positions: jax.Array, source: jax.Array
  ) -> dict[str, Any]:
    """Return, by place, a list or stack over layers of tuples of weights [B, N, T, S]."""
    _, encoder, layers = self._whole(tokens, positions, source, attend_with_weights)
    if self._decoder.scanned:
      decoder, cross = layers
    else:
      decoder, cross = map(list, zip(*layers, strict=True))
    return {"encoder": encoder, "decoder": decoder, "cross": cross}

  @property
  def _encoder(self) -> Stack:
    attentions = tuple((build,) for build in self.attentions["encoder"])
    return Stack(self.options, attentions, "encoder_layer")

  @property
  def _decoder(self) -> Stack:
    places = (self.attentions["decoder"], self.attentions["cross"])
    return Stack(self.options, tuple(zip(*places, strict=True)), "decoder_layer")

  @property
  def _scale(self) -> float:
    return math.sqrt(self.options.d_model) if self.scaled_embeddings else 1.0

  def _whole(
    self,
    tokens: jax.Array,
    positions: jax.Array | None,
    source: jax.Array,
    make_mix: Any,
  ) -> tuple[jax.Array, Any, Any]:
    """Return logits, and the outputs of the encoder's and the decoder's layers.

    Args:
      tokens: [B, T].
      positions: [B, T]; None for 0, 1, 2, ….
      source: [B, S]; negative for padding.
      make_mix: `attend` or `attend_with_weights`.
    """
    memory, encoder_outputs = self._encode(source, make_mix)
    own = self_mask(tokens, positions, causal=True)
    cross = Mask(own.query_positions, memory.positions, causal=False)

    def use(block: Block, x: jax.Array, _: Any) -> tuple[jax.Array, Any]:
      return block(x, make_mix(own), make_mix(cross, memory.context))

    logits, outputs = self._decode(tokens, own.query_positions, use)
    return logits, encoder_outputs, outputs

  def _encode(self, source: jax.Array, make_mix: Any) -> tuple[Memory, Any]:
    positions = jnp.where(source >= 0, default_positions(source), -1)
    name = "token_embedding" if self.shared_embedding else "source_embedding"
    table = self.token_vectors(name)
    x = self.embed(jnp.maximum(source, 0), positions, table, self._scale)
    mask = Mask(positions, positions, causal=False)

    def use(block: Block, x: jax.Array, _: Any) -> tuple[jax.Array, Any]:
      x, (output,) = block(x, make_mix(mask))
      return x, output

    x, outputs = self._encoder(x, use)
    return Memory(self.final_norm(x, "encoder_norm"), positions), outputs

  def _decode(
    self, tokens: jax.Array, positions: jax.Array, use: Any, per_layer: Any = ()
  ) -> tuple[jax.Array, Any]:
    table = self.token_vectors()
    x = self.embed(tokens, positions, table, self._scale)
    x, outputs = self._decoder(x, use, per_layer)
    return self.logits(self.final_norm(x), table.embeddings), outputs
