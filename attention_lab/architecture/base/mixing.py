"""Calls of a layer's attention, on its own tokens or on a context (arXiv:1706.03762)."""

from typing import Any, Protocol

import jax

from attention_lab.attention.base.attention import Attention
from attention_lab.kernel.mask import Mask, default_positions
from attention_lab.kernel.weights import watch_weights


class Mix(Protocol):
  """Function (attention, x [B, T, D], layer input) → ([B, T, D], layer output)."""

  def __call__(
    self, attention: Attention, x: jax.Array, layer_input: Any = None, /
  ) -> tuple[jax.Array, Any]: ...


def self_mask(tokens: jax.Array, positions: jax.Array | None, *, causal: bool) -> Mask:
  """Return the mask of tokens [B, T] at positions [B, T]; None for 0, 1, 2, …."""
  aligned = positions is None
  if positions is None:
    positions = default_positions(tokens)
  return Mask(positions, positions, causal=causal, aligned=aligned)


def attend(mask: Mask, context: jax.Array | None = None) -> Mix:
  """Return a Mix that attends to x itself or to a context [B, S, D]; its output is None."""

  def mix(attention: Attention, x: jax.Array, _: Any = None) -> tuple[jax.Array, None]:
    return attention(x, x if context is None else context, mask), None

  return mix


def attend_with_weights(mask: Mask, context: jax.Array | None = None) -> Mix:
  """Return a Mix like that of `attend`; its output is a tuple of weights [B, N, T, S]."""
  mix_without_weights = attend(mask, context)

  def mix(
    attention: Attention, x: jax.Array, _: Any = None
  ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    with watch_weights() as weights:
      y, _ = mix_without_weights(attention, x)
    return y, tuple(weights)

  return mix
