"""Calls of a layer's attention, on its own tokens or on a context (arXiv:1706.03762)."""

from typing import Any, Protocol

import jax

from attention_lab.attention.base.attention import Attention
from attention_lab.kernel.documents import begin_anew
from attention_lab.kernel.mask import Mask, default_positions
from attention_lab.kernel.weights import watch_weights


class Mix(Protocol):
  """Function (attention, x [B, T, D], layer input) → ([B, T, D], layer output)."""

  def __call__(
    self, attention: Attention, x: jax.Array, layer_input: Any = None, /
  ) -> tuple[jax.Array, Any]: ...


def self_mask(
  tokens: jax.Array,
  positions: jax.Array | None,
  *,
  causal: bool,
  separator: int | None = None,
  prefix: int = 0,
) -> Mask:
  """Return the mask of self-attention.

  Args:
    tokens: [B, T].
    positions: [B, T] int32, negative for padding; None for 0, 1, 2, ….
    causal: whether a token sees only tokens up to itself.
    separator: the token in front of each document, to keep documents apart; None for one
      document.
    prefix: number of the first tokens that see each other though the mask is causal.
  """
  aligned, segments = positions is None, None
  if positions is None:
    positions = default_positions(tokens)
  if separator is not None:
    positions, segments = begin_anew(positions, tokens == separator)
  return Mask(positions, positions, causal, aligned, segments, segments, prefix)


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
