"""Attentions that are wrong on purpose, each in one way, with the law that must see it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.attention.base.multi_head import MultiHead
from attention_lab.attention.base.weighted import Weighted
from attention_lab.attention.delta_net import DeltaNet
from attention_lab.attention.standard import Standard
from attention_lab.conformance import claims, decoding, numerics, seeing
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import softmax

BROKEN = []


def breaks(law):
  """Files a broken attention with the law that it breaks."""

  def file(cls):
    part = dataclasses.dataclass(kw_only=True)(cls)
    BROKEN.append((part, law))
    return part

  return file


@breaks(seeing.future_by_gradient)
class OffByOne(Standard):
  """Sees one token of the future."""

  def attend(self, q, k, v, mask):
    late = Mask(mask.query_positions + 1, mask.context_positions, mask.causal)
    return super().attend(q, k, v, late)


@breaks(seeing.future_by_gradient)
class OverQueries(Weighted):
  """Normalises over the queries, so that the future weighs on the past."""

  def weights(self, scores, allowed):
    allowed = jnp.broadcast_to(allowed, scores.shape)
    return softmax(scores.mT, allowed.mT).mT


@breaks(seeing.future_by_gradient)
class NormOverTime(Standard):
  """Divides by a root mean square over all of time."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return y / jnp.sqrt(jnp.mean(y * y, axis=1, keepdims=True) + 1e-6)


@breaks(seeing.future_by_suffix)
class LeakAtChunks(Weighted):
  """From token 64 on, every token sees the whole of its chunk."""

  def attend(self, q, k, v, mask):
    chunk = mask.query_positions // 64 * 64
    until = jnp.where(mask.query_positions < 64, mask.query_positions, chunk + 63)
    return super().attend(q, k, v, Mask(until, mask.context_positions, mask.causal))


@breaks(seeing.past_is_read)
class SeesNotItself(Weighted):
  """Its mask is too strict by one."""

  def attend(self, q, k, v, mask):
    early = Mask(mask.query_positions - 1, mask.context_positions, mask.causal)
    return super().attend(q, k, v, early)


@breaks(seeing.padding_is_not_read)
class ReadsPadding(Standard):
  """Takes padding for tokens."""

  def attend(self, q, k, v, mask):
    context = jnp.maximum(mask.context_positions, 0)
    return super().attend(q, k, v, Mask(mask.query_positions, context, mask.causal))


@breaks(seeing.padding_counts_for_nothing)
class CountsPadding(Weighted):
  """Its normaliser counts every slot up to the query, filled or not."""

  def weights(self, scores, allowed):
    slots = jnp.arange(1, scores.shape[2] + 1, dtype=scores.dtype)
    return jax.nn.sigmoid(scores) * allowed / slots[None, None, :, None]


@breaks(seeing.nobody_is_finite)
class PlainSoftmax(Weighted):
  """Divides by zero for a query that sees nobody."""

  def weights(self, scores, allowed):
    weights = jnp.exp(scores) * allowed
    return weights / weights.sum(axis=-1, keepdims=True)


@breaks(seeing.rows_are_independent)
class MixesRows(Standard):
  """Adds the batch's mean."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return y + y.mean(axis=0, keepdims=True)


@breaks(seeing.reads_across)
class TakesContextForQueries(Standard):
  """Rotates and masks the context by the queries' positions."""

  def __call__(self, query, context, mask):
    at = mask.query_positions
    return super().__call__(query, context, Mask(at, at, mask.causal))


@breaks(decoding.decoding_is_the_full_pass)
class LateCache(Standard):
  """Its cache is one position behind."""

  def extend(self, query, state, positions):
    late = state._replace(positions=state.positions + 1)
    return super().extend(query, late, positions)


@breaks(seeing.padding_counts_for_nothing)
class ConvolvesPadding(DeltaNet):
  """Takes padding for the token before the first one."""

  def advance(self, query, context, mask, state):
    return super().advance(
      query, context, dataclasses.replace(mask, aligned=True), state
    )


@breaks(decoding.decoding_is_the_full_pass)
class ConvolvesFromNothing(DeltaNet):
  """Decodes as if no token had come before."""

  def extend(self, query, state, positions):
    nothing = jnp.zeros_like(state.recent)
    return super().extend(query, state._replace(recent=nothing), positions)


@breaks(decoding.decoding_is_the_full_pass)
class Forgets(Standard):
  """Overwrites the cache's first slots instead of going on behind them."""

  def extend(self, query, state, positions):
    y, new = super().extend(query, state, positions)
    return y, new._replace(filled=state.filled)


@breaks(decoding.state_keeps_its_form)
class ChangesItsState(Standard):
  """Counts in floating point."""

  def extend(self, query, state, positions):
    y, state = super().extend(query, state, positions)
    return y, state._replace(filled=state.filled.astype(jnp.float32))


@breaks(decoding.state_has_its_size)
class ClaimsConstantState(Standard):
  """Its cache grows."""

  constant_state = True


@breaks(claims.grows_linearly)
class ClaimsLinearTime(Standard):
  """Its time does not."""

  linear_time = True


@breaks(claims.odd_sizes_work)
class NeedsPairs(Standard):
  """Cuts heads into halves."""

  def attend(self, q, k, v, mask):
    halves = v.reshape(*v.shape[:-1], 2, v.shape[-1] // 2)
    return super().attend(q, k, halves.reshape(v.shape), mask)


@breaks(claims.longer_works)
class NeedsTrainingLength(Standard):
  """Cuts its inputs to the training length."""

  def attend(self, q, k, v, mask):
    short = self.position.max_length
    cut = Mask(mask.query_positions[:, :short], mask.context_positions, mask.causal)
    return super().attend(q[:, :short], k, v, cut)


@breaks(claims.options_do_something)
class IgnoresItsOption(Standard):
  """Accepts a number and never reads it."""

  temperature: float = 1.0


@breaks(claims.options_do_something)
class ClaimsSameResult(Standard):
  """An option that is said to change nothing, and scales the output."""

  chunk: int = dataclasses.field(default=4, metadata={"same_result": True})

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v, mask) * self.chunk


@breaks(claims.schemes_do_something)
class IgnoresRotation(Standard):
  """Projects and does not rotate."""

  def queries(self, x, positions):
    return self._project(x, self.num_heads, "query")

  def keys_values(self, x, positions):
    return self._project(x, self.kv_heads, "key"), self._project(
      x, self.kv_heads, "value"
    )


@breaks(claims.schemes_do_something)
class IgnoresBias(Weighted):
  """Its scores leave the bias out."""

  def scores(self, q, k, mask):
    return jnp.einsum("BTNK,BSNK->BNTS", q, k) * self.key_size**-0.5


@breaks(numerics.jit_is_eager)
class KnowsTheTrace(Standard):
  """Doubles its output where it is compiled."""

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v, mask) * (1 + isinstance(q, jax.core.Tracer))


@breaks(numerics.maps_change_nothing)
class NoRuleForVmap(Standard):
  """Calls Python, without saying how to map that."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return jax.pure_callback(lambda y: y, jax.ShapeDtypeStruct(y.shape, y.dtype), y)


@breaks(decoding.recall_is_the_full_pass)
class RemembersPadding(Standard):
  """Takes the padding of what it has memorised for tokens."""

  def memorise(self, context, positions):
    return super().memorise(context, jnp.abs(positions))


@breaks(decoding.recall_is_the_full_pass)
class RecallsFromTheStart(Standard):
  """Every few queries begin at position 0 again."""

  def recall(self, query, positions, memory):
    return super().recall(query, positions - positions[:, :1], memory)


@breaks(numerics.is_deterministic)
class Random(Standard):
  """Draws a number at every call."""

  def attend(self, q, k, v, mask):
    one = jax.ShapeDtypeStruct((), v.dtype)
    draw = jax.pure_callback(lambda: v.dtype.type(np.random.rand()), one)
    return super().attend(q, k, v, mask) * draw


@breaks(numerics.gradient_is_right)
class StopsTheGradient(Standard):
  """Its scores learn nothing."""

  def attend(self, q, k, v, mask):
    return super().attend(jax.lax.stop_gradient(q), k, v, mask)


@breaks(numerics.bfloat16_errs_little)
class LowPrecision(Weighted):
  """Scores lose their last bits in 16 bits, beside a large number."""

  def attend(self, q, k, v, mask):
    large = jnp.asarray(64, v.dtype)
    return super().attend(q + large - large, k, v, mask)


@breaks(numerics.bfloat16_errs_little)
class Widens(Weighted):
  """Returns float32 for bfloat16."""

  def __call__(self, query, context, mask):
    return super().__call__(query, context, mask).astype(jnp.float32)


@breaks(numerics.large_is_finite)
class NoMaximum(Weighted):
  """Exponentiates scores as they are."""

  def weights(self, scores, allowed):
    weights = jnp.exp(jnp.where(allowed, scores, 0)) * allowed
    return weights / (weights.sum(axis=-1, keepdims=True) + 1e-30)


@breaks(numerics.starts_in_range)
class NoScale(Weighted):
  """Leaves 1/√K out, so that the softmax starts saturated."""

  def scores(self, q, k, mask):
    return super().scores(q * self.key_size**0.5, k, mask)


@breaks(numerics.starts_in_range)
class TooLarge(MultiHead):
  """Multiplies by 100."""

  def attend(self, q, k, v, mask):
    return 100 * self.dot_product(q, *self.every_head(k, v), mask)
