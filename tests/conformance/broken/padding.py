"""Attentions that read padding, count it, or look for it in the wrong place."""

import dataclasses

import jax
import jax.numpy as jnp

from attention_lab.attention.base.weighted import Weighted
from attention_lab.attention.delta_net import DeltaNet
from attention_lab.attention.retention import Retention
from attention_lab.attention.standard import Standard
from attention_lab.kernel.decayed import decayed
from attention_lab.kernel.mask import Mask
from tests.conformance.broken.base import (
  Masked,
  breaks,
  difference,
  only_present,
  softmax_last,
)


@breaks("padding.padding_content_is_not_read")
class ReadsPadding(Standard):
  """Treats padding as tokens at position 0."""

  def attend(self, q, k, v, mask):
    context = jnp.maximum(mask.context_positions, 0)
    return super().attend(q, k, v, Mask(mask.query_positions, context, mask.causal))


@breaks("padding.padding_is_ignored")
class CountsPadding(Weighted):
  """Divides by the number of slots up to the query, including padding."""

  def weights(self, scores, allowed):
    slots = jnp.arange(1, scores.shape[2] + 1, dtype=scores.dtype)
    return jax.nn.sigmoid(scores) * allowed / slots[None, None, :, None]


@breaks("padding.masked_rows_are_finite")
class PlainSoftmax(Weighted):
  """Divides by zero for a query that may attend to no token."""

  def weights(self, scores, allowed):
    weights = jnp.exp(scores) * allowed
    return weights / weights.sum(axis=-1, keepdims=True)


@breaks("padding.padding_is_ignored")
class ConvolvesPadding(DeltaNet):
  """Convolves over padding in front of the first token."""

  def advance(self, query, context, mask, state):
    return super().advance(
      query, context, dataclasses.replace(mask, aligned=True), state
    )


@breaks("padding.padding_content_is_not_read")
class ExpectsPaddingInFront(Masked):
  """Takes as many first slots as there is padding for the padding."""

  def allowed(self, mask):
    at = mask.context_positions
    slots = jnp.arange(at.shape[1])[None, None, None]
    count = (at < 0).sum(axis=1)[:, None, None, None]
    causal = difference(mask) >= 0 if mask.causal else True
    return causal & (slots >= count) & jnp.ones_like(difference(mask), bool)


@breaks("padding.padding_content_is_not_read")
class ExpectsPaddingBehind(Masked):
  """Takes as many last slots as there is padding for the padding."""

  def allowed(self, mask):
    at = mask.context_positions
    slots = jnp.arange(at.shape[1])[None, None, None]
    count = (at >= 0).sum(axis=1)[:, None, None, None]
    causal = difference(mask) >= 0 if mask.causal else True
    return causal & (slots < count) & jnp.ones_like(difference(mask), bool)


@breaks("padding.padding_content_is_not_read")
class RecognisesPaddingByZeros(Masked):
  """Takes keys of zeros for padding, whatever their positions."""

  def attend(self, q, k, v, mask):
    real = (k != 0).any(axis=(2, 3))[:, None, None]
    causal = difference(mask) >= 0 if mask.causal else True
    allowed = real & causal & jnp.ones_like(difference(mask), bool)
    return self.read_out(self.weights(self.scores(q, k, mask), allowed), v)


@breaks("padding.padding_content_is_not_read")
class ReadsThePreviousSlot(Standard):
  """Averages each value with that of the slot before, padding or not."""

  def attend(self, q, k, v, mask):
    before = jnp.concatenate([jnp.zeros_like(v[:, :1]), v[:, :-1]], axis=1)
    return super().attend(q, k, (v + before) / 2, mask)


@breaks("padding.padding_is_ignored")
class ConvolvesSlots(Standard):
  """Averages each value with that of the slot before, or with 0 if that is padding."""

  def attend(self, q, k, v, mask):
    v = only_present(v, mask.context_positions)
    before = jnp.concatenate([jnp.zeros_like(v[:, :1]), v[:, :-1]], axis=1)
    return super().attend(q, k, (v + before) / 2, mask)


@breaks("padding.padding_is_ignored")
class DecaysOverPadding(Retention):
  """Lets the state decay at padding, too."""

  def advance(self, query, context, mask, state):
    q = self.position.rotate(self.project(query, "query"), mask.query_positions)
    k = self.position.rotate_keys(self.project(context, "key"), mask.context_positions)
    k = only_present(k, mask.context_positions) * self.key_size**-0.5
    decay = jnp.full((*context.shape[:2], self.num_heads), -0.1)
    v = self.project(context, "value")
    heads, memory = decayed(q, k, v, decay, state.memory, self.chunk)
    return heads, state._replace(memory=memory)


@breaks("padding.padding_is_ignored")
class BiasesBySlot(Weighted):
  """Adds a bias of the distance in slots, not in positions."""

  honours = ("rotate", "rotate_keys")
  kinds = ("causal",)

  def scores(self, q, k, mask):
    slots = jnp.arange(k.shape[1])
    own = (mask.query_positions[:, :, None] == mask.context_positions[:, None]) @ slots
    distance = (own[:, :, None] - slots[None, None])[:, None]
    return super().scores(q, k, mask) - 0.1 * jnp.abs(distance)


@breaks("padding.padding_is_ignored")
class AveragesOverSlots(Weighted):
  """Divides by the number of slots of the context, where nothing is causal."""

  kinds = ("bidirectional", "cross")

  def weights(self, scores, allowed):
    return jax.nn.sigmoid(scores) * allowed / allowed.shape[-1]


@breaks("padding.padding_is_ignored")
class CentresOnFirstSlot(Standard):
  """Measures positions from the first slot, which may be padding."""

  def attend(self, q, k, v, mask):
    late = (mask.query_positions - mask.context_positions[:, :1])[..., None, None]
    return super().attend(q * (1 + 0.1 * late), k, v, mask)


@breaks("padding.masked_rows_are_finite")
class MasksWithInfinity(Weighted):
  """Masks with minus infinity, of which the softmax of a masked row is NaN."""

  def weights(self, scores, allowed):
    return softmax_last(jnp.where(allowed, scores, -jnp.inf))


@breaks("padding.masked_rows_are_finite")
class GuardsAfterDivision(Weighted):
  """Replaces 0/0 after the division: finite values, and gradients that are NaN."""

  def weights(self, scores, allowed):
    top = jnp.where(allowed, scores, -1e30).max(axis=-1, keepdims=True)
    weights = jnp.exp(jnp.minimum(scores - top, 0)) * allowed
    total = weights.sum(axis=-1, keepdims=True)
    return jnp.where(total == 0, 0, weights / total)


@breaks("padding.masked_rows_are_finite")
class DividesByCount(Weighted):
  """Divides by the number of tokens that a query may attend to, which can be 0."""

  def weights(self, scores, allowed):
    count = present_count(allowed)
    return jax.nn.sigmoid(scores) * allowed / count


def present_count(allowed):
  """Return how many tokens each query may attend to: [B, 1, T, 1] float32."""
  return allowed.sum(axis=-1, keepdims=True).astype(jnp.float32)
