"""Attentions with one deliberate error each, and the law that must detect it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.attention.base.multi_head import MultiHead
from attention_lab.attention.base.weighted import Weighted
from attention_lab.attention.delta_net import DeltaNet
from attention_lab.attention.standard import Standard
from attention_lab.conformance import (
  causality,
  claims,
  cross_attention,
  decoding,
  numerics,
  padding,
)
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import softmax

BROKEN = []


def breaks(law):
  """Return a decorator that adds an attention and the law it breaks to BROKEN."""

  def add(cls):
    attention = dataclasses.dataclass(kw_only=True)(cls)
    BROKEN.append((attention, law))
    return attention

  return add


@breaks(causality.no_gradient_from_future)
class OffByOne(Standard):
  """Attends to the next token."""

  def attend(self, q, k, v, mask):
    late = Mask(mask.query_positions + 1, mask.context_positions, mask.causal)
    return super().attend(q, k, v, late)


@breaks(causality.no_gradient_from_future)
class NormalisesOverQueries(Weighted):
  """Normalises over the queries, so that past outputs depend on future queries."""

  def weights(self, scores, allowed):
    allowed = jnp.broadcast_to(allowed, scores.shape)
    return softmax(scores.mT, allowed.mT).mT


@breaks(causality.no_gradient_from_future)
class NormalisesOverTime(Standard):
  """Divides by a root mean square over all positions."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return y / jnp.sqrt(jnp.mean(y * y, axis=1, keepdims=True) + 1e-6)


@breaks(causality.no_dependence_on_future)
class LeaksWithinChunks(Weighted):
  """Attends, from token 64 on, to all tokens of the query's chunk."""

  def attend(self, q, k, v, mask):
    chunk = mask.query_positions // 64 * 64
    until = jnp.where(mask.query_positions < 64, mask.query_positions, chunk + 63)
    return super().attend(q, k, v, Mask(until, mask.context_positions, mask.causal))


@breaks(causality.past_is_read)
class MasksCurrentToken(Weighted):
  """Masks the current token, too."""

  def attend(self, q, k, v, mask):
    early = Mask(mask.query_positions - 1, mask.context_positions, mask.causal)
    return super().attend(q, k, v, early)


@breaks(padding.padding_content_is_not_read)
class ReadsPadding(Standard):
  """Treats padding as tokens at position 0."""

  def attend(self, q, k, v, mask):
    context = jnp.maximum(mask.context_positions, 0)
    return super().attend(q, k, v, Mask(mask.query_positions, context, mask.causal))


@breaks(padding.padding_is_ignored)
class CountsPadding(Weighted):
  """Divides by the number of slots up to the query, including padding."""

  def weights(self, scores, allowed):
    slots = jnp.arange(1, scores.shape[2] + 1, dtype=scores.dtype)
    return jax.nn.sigmoid(scores) * allowed / slots[None, None, :, None]


@breaks(padding.masked_rows_are_finite)
class PlainSoftmax(Weighted):
  """Divides by zero for a query that may attend to no token."""

  def weights(self, scores, allowed):
    weights = jnp.exp(scores) * allowed
    return weights / weights.sum(axis=-1, keepdims=True)


@breaks(causality.sequences_are_independent)
class MixesSequences(Standard):
  """Adds the mean over the batch."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return y + y.mean(axis=0, keepdims=True)


@breaks(cross_attention.context_is_read)
class UsesQueryPositions(Standard):
  """Rotates and masks the context by the positions of the queries."""

  def __call__(self, query, context, mask):
    at = mask.query_positions
    return super().__call__(query, context, Mask(at, at, mask.causal))


@breaks(decoding.decoding_equals_full_pass)
class LateCache(Standard):
  """Stores each position in the cache plus one."""

  def extend(self, query, state, positions):
    late = state._replace(positions=state.positions + 1)
    return super().extend(query, late, positions)


@breaks(padding.padding_is_ignored)
class ConvolvesPadding(DeltaNet):
  """Convolves over padding in front of the first token."""

  def advance(self, query, context, mask, state):
    return super().advance(
      query, context, dataclasses.replace(mask, aligned=True), state
    )


@breaks(decoding.decoding_equals_full_pass)
class ForgetsConvolution(DeltaNet):
  """Decodes with zeros in place of the most recent tokens of the convolution."""

  def extend(self, query, state, positions):
    zeros = jnp.zeros_like(state.recent)
    return super().extend(query, state._replace(recent=zeros), positions)


@breaks(decoding.decoding_equals_full_pass)
class OverwritesCache(Standard):
  """Overwrites the first slots of the cache in each call."""

  def extend(self, query, state, positions):
    y, new = super().extend(query, state, positions)
    return y, new._replace(filled=state.filled)


@breaks(decoding.state_keeps_shape_and_dtype)
class ChangesStateDtype(Standard):
  """Returns the number of filled slots as a float."""

  def extend(self, query, state, positions):
    y, state = super().extend(query, state, positions)
    return y, state._replace(filled=state.filled.astype(jnp.float32))


@breaks(decoding.state_has_claimed_size)
class ClaimsConstantState(Standard):
  """Claims a constant state, but its cache grows."""

  constant_state = True


@breaks(claims.cost_grows_linearly)
class ClaimsLinearTime(Standard):
  """Claims linear time, but its time is quadratic."""

  linear_time = True


@breaks(claims.odd_sizes_work)
class NeedsEvenHeads(Standard):
  """Splits heads into two halves."""

  def attend(self, q, k, v, mask):
    halves = v.reshape(*v.shape[:-1], 2, v.shape[-1] // 2)
    return super().attend(q, k, halves.reshape(v.shape), mask)


@breaks(claims.longer_sequences_work)
class NeedsTrainingLength(Standard):
  """Truncates its inputs to the training length."""

  def attend(self, q, k, v, mask):
    short = self.position.max_length
    cut = Mask(mask.query_positions[:, :short], mask.context_positions, mask.causal)
    return super().attend(q[:, :short], k, v, cut)


@breaks(claims.options_have_an_effect)
class IgnoresOption(Standard):
  """Accepts an option and never reads it."""

  temperature: float = 1.0


@breaks(claims.options_have_an_effect)
class ClaimsSameResult(Standard):
  """Marks an option as SAME_RESULT that scales the output."""

  chunk: int = dataclasses.field(default=4, metadata={"same_result": True})

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v, mask) * self.chunk


@breaks(claims.schemes_have_an_effect)
class IgnoresRotation(Standard):
  """Projects queries and keys without rotating them."""

  def queries(self, x, positions):
    return self.project(x, self.num_heads, "query")

  def keys_values(self, x, positions):
    return self.project(x, self.kv_heads, "key"), self.project(
      x, self.kv_heads, "value"
    )


@breaks(claims.schemes_have_an_effect)
class IgnoresBias(Weighted):
  """Computes scores without the bias."""

  def scores(self, q, k, mask):
    return jnp.einsum("BTNK,BSNK->BNTS", q, k) * self.key_size**-0.5


@breaks(numerics.compiled_equals_eager)
class DependsOnTracing(Standard):
  """Doubles its output when it is traced."""

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v, mask) * (1 + isinstance(q, jax.core.Tracer))


@breaks(numerics.mapped_equals_single)
class NoBatchingRule(Standard):
  """Calls Python through a callback that has no batching rule."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return jax.pure_callback(lambda y: y, jax.ShapeDtypeStruct(y.shape, y.dtype), y)


@breaks(cross_attention.recall_equals_cross_attention)
class MemorisesPadding(Standard):
  """Treats the padding of a memorised context as tokens."""

  def memorise(self, context, positions):
    return super().memorise(context, jnp.abs(positions))


@breaks(cross_attention.recall_equals_cross_attention)
class RecallsFromPositionZero(Standard):
  """Recalls each chunk of queries as if it began at position 0."""

  def recall(self, query, positions, memory):
    return super().recall(query, positions - positions[:, :1], memory)


@breaks(numerics.outputs_are_deterministic)
class Random(Standard):
  """Multiplies by a random number that differs between calls."""

  def attend(self, q, k, v, mask):
    scalar = jax.ShapeDtypeStruct((), v.dtype)
    factor = jax.pure_callback(lambda: v.dtype.type(np.random.rand()), scalar)
    return super().attend(q, k, v, mask) * factor


@breaks(numerics.gradient_is_correct)
class StopsGradient(Standard):
  """Stops the gradient of the queries."""

  def attend(self, q, k, v, mask):
    return super().attend(jax.lax.stop_gradient(q), k, v, mask)


@breaks(numerics.bfloat16_is_accurate)
class LowPrecision(Weighted):
  """Adds and subtracts a large number, which loses the last bits of bfloat16 queries."""

  def attend(self, q, k, v, mask):
    large = jnp.asarray(64, v.dtype)
    return super().attend(q + large - large, k, v, mask)


@breaks(numerics.bfloat16_is_accurate)
class ReturnsFloat32(Weighted):
  """Returns float32 for bfloat16."""

  def __call__(self, query, context, mask):
    return super().__call__(query, context, mask).astype(jnp.float32)


@breaks(numerics.large_inputs_are_finite)
class NoMaximum(Weighted):
  """Exponentiates scores without subtracting their maximum."""

  def weights(self, scores, allowed):
    weights = jnp.exp(jnp.where(allowed, scores, 0)) * allowed
    return weights / (weights.sum(axis=-1, keepdims=True) + 1e-30)


@breaks(numerics.initial_scale_is_reasonable)
class NoScale(Weighted):
  """Omits 1/√K, so that the initial softmax is saturated."""

  def scores(self, q, k, mask):
    return super().scores(q * self.key_size**0.5, k, mask)


@breaks(numerics.initial_scale_is_reasonable)
class TooLarge(MultiHead):
  """Multiplies its output by 100."""

  def attend(self, q, k, v, mask):
    return 100 * self.dot_product(q, *self.every_head(k, v), mask)
