"""How a layer calls its attention, on its own tokens or on others (arXiv:1706.03762)."""

from typing import Any, Protocol

import jax

from attention_lab.attention.base.attention import Attention
from attention_lab.kernel.mask import Mask, default_positions
from attention_lab.kernel.weights import watch_weights


class Mix(Protocol):
  """(attention, x [B, T, D], layer's input) → ([B, T, D], layer's output)."""

  def __call__(
    self, attention: Attention, x: jax.Array, given: Any = None, /
  ) -> tuple[jax.Array, Any]: ...


def self_mask(tokens: jax.Array, positions: jax.Array | None, *, causal: bool) -> Mask:
  """Who of tokens [B, T] sees whom, at positions [B, T], or 0, 1, 2, … if None."""
  aligned = positions is None
  if positions is None:
    positions = default_positions(tokens)
  return Mask(positions, positions, causal=causal, aligned=aligned)


def among(mask: Mask, context: jax.Array | None = None) -> Mix:
  """Every layer's tokens read each other, or a context [B, S, D]; nothing is given out."""

  def mix(attention: Attention, x: jax.Array, _: Any = None) -> tuple[jax.Array, None]:
    return attention(x, x if context is None else context, mask), None

  return mix


def watched_among(mask: Mask, context: jax.Array | None = None) -> Mix:
  """The same; each layer gives out the tuple of weights [B, N, T, S] that it formed."""
  plain = among(mask, context)

  def mix(
    attention: Attention, x: jax.Array, _: Any = None
  ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    with watch_weights() as seen:
      y, _ = plain(attention, x)
    return y, tuple(seen)

  return mix
