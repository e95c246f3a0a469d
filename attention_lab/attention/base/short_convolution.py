"""A short convolution in front of a recurrence (Poli et al., arXiv:2302.10866)."""

import functools

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.kernel.mask import Mask


class ShortConvolution(hk.Module):
  """y_t = w_0 ∘ x_t + w_1 ∘ x_{t-1} + … over the last tokens that are not padding.

  Each channel has its own weights, initialised as in PyTorch's convolutions: uniform within
  ± 1/√W for W tokens.
  """

  def __call__(
    self, x: jax.Array, recent: jax.Array, mask: Mask
  ) -> tuple[jax.Array, jax.Array]:
    """Convolve tokens with those before them.

    Args:
      x: [B, T, C].
      recent: the W - 1 tokens before them, 0 where there are none: [B, W - 1, C].
      mask: of causal self-attention among x.

    Returns:
      [B, T, C], and the last W - 1 tokens after them.
    """
    width = recent.shape[1] + 1
    span = width**-0.5
    uniform = hk.initializers.RandomUniform(-span, span)
    weights = hk.get_parameter("w", (width, x.shape[-1]), x.dtype, init=uniform)
    read, after = tokens_before(x, recent, mask)
    products = [w * x for w, x in zip(weights[:, None, None], read, strict=True)]
    return functools.reduce(jnp.add, products), after


def tokens_before(
  x: jax.Array, recent: jax.Array, mask: Mask
) -> tuple[list[jax.Array], jax.Array]:
  """Return tokens, the token before each in its document, the one before that, and so on.

  Args:
    x: [B, T, C].
    recent: the W - 1 tokens before them, 0 where there are none: [B, W - 1, C].
    mask: of causal self-attention among x.

  Returns:
    W arrays [B, T, C], 0 where there is no token, and the last W - 1 tokens after them.
  """
  joined = jnp.concatenate([recent, x], axis=1)
  width = recent.shape[1] + 1
  if mask.context_segments is not None:
    return _of_document(joined, mask, width)
  return _taps(joined, mask, width)


def _of_document(
  joined: jax.Array, mask: Mask, width: int
) -> tuple[list[jax.Array], jax.Array]:
  """Return what `_taps` does, with zeros in place of tokens of other documents.

  The tokens before the first one are of its document.
  """
  segments = mask.context_segments
  assert segments is not None
  before = jnp.broadcast_to(segments[:, :1], (len(segments), width - 1))
  numbers = jnp.concatenate([before, segments], axis=1)[..., None]
  read, after = _taps(joined, mask, width)
  numbers_read, numbers_after = _taps(numbers, mask, width)
  read = [
    jnp.where(number == numbers_read[0], x, 0)
    for number, x in zip(numbers_read, read, strict=True)
  ]
  return read, jnp.where(numbers_after == segments[:, -1:, None], after, 0)


def _taps(
  joined: jax.Array, mask: Mask, width: int
) -> tuple[list[jax.Array], jax.Array]:
  """Return the last T tokens, the token before each, and so on, and the last W - 1.

  Args:
    joined: [B, W - 1 + T, C].
    mask: of causal self-attention among the last T tokens.
    width: W.
  """
  if not mask.aligned:
    return _among_padding(joined, mask.context_positions >= 0, width)
  length = joined.shape[1] - width + 1
  ends = range(joined.shape[1], length - 1, -1)  # Without padding.
  return [joined[:, end - length : end] for end in ends], joined[:, length:]


def _among_padding(
  joined: jax.Array, real: jax.Array, width: int
) -> tuple[list[jax.Array], jax.Array]:
  """Return the last T tokens, the real token before each, and so on, skipping padding.

  Args:
    joined: [B, W - 1 + T, C].
    real: [B, T], whether a token is not padding.
    width: W.

  Returns:
    W arrays [B, T, C], and the last W - 1 real tokens [B, W - 1, C].
  """
  slots = jnp.broadcast_to(jnp.arange(joined.shape[1]), joined.shape[:2])
  filled = jnp.concatenate([jnp.ones((len(real), width - 1), bool), real], axis=1)
  last = jax.lax.cummax(jnp.where(filled, slots, 0), axis=1)
  before = jnp.roll(last, 1, axis=1)  # The first slot is never used.

  def follow(at: jax.Array, count: int) -> list[jax.Array]:
    """Return `count` tokens, from those at slots [B, ...] backwards."""
    found = []
    for _ in range(count):
      found.append(jnp.take_along_axis(joined, at[..., None], axis=1))
      at = jnp.take_along_axis(before, at, axis=1)
    return found

  read = follow(slots[:, width - 1 :], width)
  kept = follow(last[:, -1:], width - 1)[::-1]
  after = jnp.concatenate(kept, axis=1) if kept else joined[:, :0]
  return read, after
