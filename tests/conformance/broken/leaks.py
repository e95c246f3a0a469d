"""Attentions that see the future, each by a mistake in its formula."""

import jax
import jax.numpy as jnp

from attention_lab.attention.base.weighted import Weighted
from attention_lab.attention.standard import Standard
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import softmax
from tests.conformance.broken.base import (
  Masked,
  breaks,
  difference,
  only_present,
  present,
  softmax_last,
)


@breaks("causality.no_gradient_from_future")
class OffByOne(Standard):
  """Attends to the next token."""

  def attend(self, q, k, v, mask):
    late = Mask(mask.query_positions + 1, mask.context_positions, mask.causal)
    return super().attend(q, k, v, late)


@breaks("causality.no_gradient_from_future")
class NormalisesOverQueries(Weighted):
  """Normalises over the queries, so that past outputs depend on future queries."""

  def weights(self, scores, allowed):
    allowed = jnp.broadcast_to(allowed, scores.shape)
    return softmax(scores.mT, allowed.mT).mT


@breaks("causality.no_gradient_from_future")
class NormalisesOverTime(Standard):
  """Divides by a root mean square over all positions."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return y / jnp.sqrt(jnp.mean(y * y, axis=1, keepdims=True) + 1e-6)


@breaks("causality.no_dependence_on_future")
class LeaksWithinChunks(Weighted):
  """Attends, from token 64 on, to all tokens of the query's chunk."""

  def attend(self, q, k, v, mask):
    chunk = mask.query_positions // 64 * 64
    until = jnp.where(mask.query_positions < 64, mask.query_positions, chunk + 63)
    return super().attend(q, k, v, Mask(until, mask.context_positions, mask.causal))


@breaks("causality.past_is_read")
class MasksCurrentToken(Weighted):
  """Masks the current token, too."""

  def attend(self, q, k, v, mask):
    early = Mask(mask.query_positions - 1, mask.context_positions, mask.causal)
    return super().attend(q, k, v, early)


@breaks("causality.past_is_read")
class AttendsOverHeads(Standard):
  """Attends over the heads of each token, by an einsum with N and M in place of T and S."""

  def attend(self, q, k, v, mask):
    if q.shape[1] != k.shape[1]:
      k, v = k[:, -q.shape[1] :], v[:, -q.shape[1] :]
    scores = jnp.einsum("BTNK,BTMK->BTNM", q, k) * self.key_size**-0.5
    return jnp.einsum("BTNM,BTMK->BTNK", softmax_last(scores).astype(v.dtype), v)


@breaks("causality.past_is_read")
class TakesFirstTokenForPadding(Masked):
  """Treats position 0 as padding."""

  def allowed(self, mask):
    return mask.dense() & (mask.context_positions > 0)[:, None, None]


@breaks("causality.no_gradient_from_future")
class TransposesMask(Masked):
  """Applies the mask from context to query."""

  def allowed(self, mask):
    early = (difference(mask) <= 0) & present(mask)
    return early if mask.causal else mask.dense()


@breaks("causality.no_gradient_from_future")
class MasksAfterSoftmax(Weighted):
  """Applies the mask after the softmax, whose normaliser includes the future."""

  def weights(self, scores, allowed):
    return softmax_last(scores) * allowed


@breaks("causality.no_dependence_on_future")
class SubtractsTooLittle(Weighted):
  """Masks by subtracting 30, which large scores exceed."""

  def weights(self, scores, allowed):
    return softmax_last(scores - 30.0 * ~allowed) * allowed.any(axis=-1, keepdims=True)


@breaks("causality.no_gradient_from_future")
class ConvolvesWithSamePadding(Standard):
  """Convolves values over three tokens with SAME instead of causal padding."""

  def attend(self, q, k, v, mask):
    v = only_present(v, mask.context_positions)
    around = jnp.pad(v, [(0, 0), (1, 1), (0, 0), (0, 0)])
    v = (around[:, :-2] + around[:, 1:-1] + around[:, 2:]) / 3
    return super().attend(q, k, v, mask)


@breaks("causality.no_gradient_from_future")
class RollsTokens(Standard):
  """Mixes each value with the previous one by `jnp.roll`: the first with the last."""

  def attend(self, q, k, v, mask):
    return super().attend(q, k, (v + jnp.roll(v, 1, axis=1)) / 2, mask)


@breaks("causality.no_gradient_from_future")
class ScalesByMaximum(Standard):
  """Divides the values by their maximum over all tokens."""

  def attend(self, q, k, v, mask):
    largest = jnp.abs(v).max(axis=(1, 3), keepdims=True)
    return super().attend(q, k, v / (largest + 1e-6), mask)


@breaks("causality.no_dependence_on_future")
class QuantisesOverTime(Standard):
  """Quantises keys to 8 bits, straight-through, with one scale for all tokens."""

  smooth = False

  def attend(self, q, k, v, mask):
    scale = jnp.abs(k).max(axis=(1, 3), keepdims=True) / 127 + 1e-9
    error = jnp.round(k / scale) * scale - k
    return super().attend(q, k + jax.lax.stop_gradient(error), v, mask)


@breaks("causality.no_gradient_from_future")
class SumsReversed(Standard):
  """Adds the running mean of the values, summed from the end."""

  def attend(self, q, k, v, mask):
    total = jax.lax.cumsum(only_present(v, mask.context_positions), 1, reverse=True)
    mean = total[:, -q.shape[1] :] / v.shape[1]
    return super().attend(q, k, v, mask) + mean


@breaks("causality.no_gradient_from_future")
class WrapsAround(Standard):
  """Convolves by FFT without zero padding, so that the end enters the beginning."""

  def attend(self, q, k, v, mask):
    length = v.shape[1]
    decay = jnp.exp(-jnp.arange(length) / 4.0)
    transform = jnp.fft.rfft(v.astype(jnp.float32), axis=1)
    transform = transform * jnp.fft.rfft(decay)[None, :, None, None]
    convolved = jnp.fft.irfft(transform, length, axis=1).astype(v.dtype)
    return super().attend(q, k, convolved, mask)


@breaks("causality.no_dependence_on_future")
class SelectsTokens(Standard):
  """Selects the half of all tokens with the largest norm: expert-choice routing."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    score = (q * q).sum(axis=(2, 3))
    least = jnp.sort(score, axis=1)[:, score.shape[1] // 2, None]
    return jnp.where((score >= least)[..., None, None], y, 0)


@breaks("causality.no_dependence_on_future")
class SortsIntoBuckets(Masked):
  """Attends within chunks of 16 of the tokens, sorted by a hash of all tokens."""

  def attend(self, q, k, v, mask):
    order = jnp.argsort(jnp.argsort(k[:, :, 0, 0], axis=1), axis=1) // 16
    at = jnp.clip(mask.query_positions, 0, k.shape[1] - 1)
    own = jnp.take_along_axis(order, at, axis=1)
    allowed = mask.dense() & (own[:, None, :, None] == order[:, None, None])
    allowed |= (difference(mask) == 0) & present(mask)
    return self.read_out(self.weights(self.scores(q, k, mask), allowed), v)


@breaks("causality.no_dependence_on_future", depth="full")
class LeaksWithAnotherOption(Masked):
  """Takes a mean over all tokens where an option has another value than by default."""

  centre: bool = False

  def attend(self, q, k, v, mask):
    present = (mask.context_positions >= 0)[..., None, None]
    total = (v * present).sum(axis=1, keepdims=True)
    mean = total / jnp.maximum(present.sum(axis=1, keepdims=True), 1)
    return super().attend(q, k, v - mean if self.centre else v, mask)


@breaks("causality.no_dependence_on_future", depth="full")
class LeaksWithSmallChunk(Masked):
  """Rounds positions up to the end of a chunk if the chunk has few tokens."""

  chunk: int = 64

  def allowed(self, mask):
    if self.chunk >= 64 or not mask.causal:
      return mask.dense()
    last = mask.query_positions // self.chunk * self.chunk + self.chunk - 1
    later = Mask(last, mask.context_positions, causal=True)
    return later.dense()
