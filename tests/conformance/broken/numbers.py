"""Attentions that are inaccurate, overflow, or differ between calls and transformations."""

import time

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.attention.base.multi_head import MultiHead
from attention_lab.attention.base.weighted import Weighted
from attention_lab.attention.standard import Standard
from attention_lab.kernel.weights import watched
from tests.conformance.broken.base import breaks, only_present


@breaks("numerics.compiled_equals_eager", depth="full")
class DependsOnTracing(Standard):
  """Doubles its output when it is traced."""

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v, mask) * (1 + isinstance(q, jax.core.Tracer))


@breaks("numerics.mapped_equals_single")
class NoBatchingRule(Standard):
  """Calls Python through a callback that has no batching rule."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return jax.pure_callback(lambda y: y, jax.ShapeDtypeStruct(y.shape, y.dtype), y)


@breaks("numerics.outputs_are_deterministic")
class Random(Standard):
  """Multiplies by a random number that differs between calls."""

  def attend(self, q, k, v, mask):
    scalar = jax.ShapeDtypeStruct((), v.dtype)
    factor = jax.pure_callback(lambda: v.dtype.type(np.random.rand()), scalar)
    return super().attend(q, k, v, mask) * factor


@breaks("precision.bfloat16_is_accurate")
class LowPrecision(Weighted):
  """Adds and subtracts a large number, which loses the last bits of bfloat16 queries."""

  def attend(self, q, k, v, mask):
    large = jnp.asarray(64, v.dtype)
    return super().attend(q + large - large, k, v, mask)


@breaks("precision.bfloat16_is_accurate")
class ReturnsFloat32(Weighted):
  """Returns float32 for bfloat16."""

  def __call__(self, query, context, mask):
    return super().__call__(query, context, mask).astype(jnp.float32)


@breaks("precision.large_inputs_are_finite")
class NoMaximum(Weighted):
  """Exponentiates scores without subtracting their maximum."""

  def weights(self, scores, allowed):
    weights = jnp.exp(jnp.where(allowed, scores, 0)) * allowed
    return weights / (weights.sum(axis=-1, keepdims=True) + 1e-30)


@breaks("numerics.initial_scale_is_reasonable")
class NoScale(Weighted):
  """Omits 1/√K, so that the initial softmax is saturated."""

  def scores(self, q, k, mask):
    return super().scores(q * self.key_size**0.5, k, mask)


@breaks("numerics.initial_scale_is_reasonable")
class TooLarge(MultiHead):
  """Multiplies its output by 100."""

  def attend(self, q, k, v, mask):
    return 100 * self.dot_product(q, *self.every_head(k, v), mask)


@breaks("numerics.initial_scale_is_reasonable")
class DividesByLength(Weighted):
  """Divides the softmax once more by the number of tokens."""

  def weights(self, scores, allowed):
    return (
      super().weights(scores, allowed) / allowed.sum(-1, keepdims=True).clip(1) ** 2
    )


@breaks("precision.bfloat16_is_accurate", depth="full")
class SoftmaxInBfloat16(Weighted):
  """Computes the softmax in the compute dtype, its sum term by term."""

  def attend(self, q, k, v, mask):
    scores = jnp.where(mask.dense(), self.scores(q, k, mask).astype(v.dtype), -1e9)
    weights = jnp.exp(scores - scores.max(axis=-1, keepdims=True)) * mask.dense()
    total = jnp.moveaxis(weights, -1, 0)
    total, _ = jax.lax.scan(lambda a, w: (a + w, None), jnp.zeros_like(total[0]), total)
    return self.read_out(weights / jnp.where(total == 0, 1, total)[..., None], v)


@breaks("precision.bfloat16_is_accurate", depth="full")
class SumsInBfloat16(Standard):
  """Adds the running mean of the values, summed token by token in the compute dtype."""

  kinds = ("causal",)

  def attend(self, q, k, v, mask):
    rows = jnp.moveaxis(only_present(v, mask.context_positions) + 1, 1, 0)
    add = lambda total, row: (total + row, total + row)  # noqa: E731
    _, sums = jax.lax.scan(add, jnp.zeros_like(rows[0]), rows)
    sums = jnp.moveaxis(sums, 0, 1)[:, -q.shape[1] :]
    count = 1 + jnp.maximum(mask.query_positions, 0)[..., None, None]
    return super().attend(q, k, v, mask) + sums / count.astype(v.dtype)


@breaks("precision.bfloat16_is_accurate")
class ScoresInBfloat16(Weighted):
  """Forms large scores and their difference in the compute dtype."""

  def scores(self, q, k, mask):
    shift = (32 * k[..., :1]).mean(axis=-1)[:, None].astype(q.dtype)
    scores = jnp.einsum("BTNK,BSNK->BNTS", q, k) * self.key_size**-0.5
    shift = jnp.moveaxis(shift, 3, 1)
    return (scores + shift - shift).astype(jnp.float32) + self.position_bias(mask)


@breaks("precision.bfloat16_is_accurate", depth="full")
class RoundsPositions(Standard):
  """Computes an encoding of its own from positions in the compute dtype."""

  def attend(self, q, k, v, mask):
    at = mask.query_positions.astype(q.dtype)[..., None, None]
    return super().attend(q, k, v, mask) * (1 + 0.5 * jnp.sin(at))


@breaks("precision.large_inputs_are_finite")
class RaisesToPower(Weighted):
  """Normalises the eighth powers of the scores, which overflow."""

  def weights(self, scores, allowed):
    powers = scores**8 * allowed
    return powers / (powers.sum(axis=-1, keepdims=True) + 1e-6)


@breaks("precision.large_inputs_are_finite")
class NormalisesBySixteenth(Standard):
  """Divides by a root of sixteenth powers, which overflow."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return y / (1e-3 + (y**16).sum(axis=-1, keepdims=True)) ** (1 / 16)


CALLS = []


@breaks("numerics.outputs_are_deterministic")
class CountsCalls(Standard):
  """Multiplies by a number that grows each time the function is traced."""

  def attend(self, q, k, v, mask):
    CALLS.append(None)
    return super().attend(q, k, v, mask) * (1 + 0.01 * len(CALLS))


@breaks("numerics.outputs_are_deterministic")
class DrawsWhenTraced(Standard):
  """Multiplies by features that NumPy draws when the function is traced."""

  def attend(self, q, k, v, mask):
    features = np.random.normal(size=(1, 1, 1, self.key_size))
    return super().attend(q, k, v, mask) * features.astype(v.dtype)


@breaks("numerics.outputs_are_deterministic")
class ReadsTheClock(Standard):
  """Seeds its features by the time."""

  def attend(self, q, k, v, mask):
    key = jax.random.key(time.time_ns() % 2**31)
    features = jax.random.normal(key, (1, 1, 1, self.key_size), v.dtype)
    return super().attend(q, k, v, mask) * features


@breaks("numerics.outputs_are_deterministic", depth="full")
class HashesNames(Standard):
  """Seeds its features by the hash of a string, which differs between processes."""

  def attend(self, q, k, v, mask):
    key = jax.random.key(hash("features") % 2**31)
    features = jax.random.normal(key, (1, 1, 1, self.key_size), v.dtype)
    return super().attend(q, k, v, mask) * features


# Two processes order twelve strings alike once in some 10^8 times.
NAMES = {f"part_{index}" for index in range(12)}


@breaks("numerics.outputs_are_deterministic", depth="full")
class IteratesOverSet(Standard):
  """Creates parameters in the order of a set of strings."""

  def attend(self, q, k, v, mask):
    for name in NAMES:
      init = hk.initializers.RandomNormal(0.1)
      v = v + hk.get_parameter(name, (1, 1, 1, self.key_size), v.dtype, init)
    return super().attend(q, k, v, mask)


@breaks("numerics.outputs_are_deterministic", depth="full")
class CountsDevices(Standard):
  """Divides the output by the number of devices, as if it were a sum over them."""

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v, mask) / jax.device_count()


@breaks("numerics.recording_changes_nothing", depth="full")
class RecordsOtherWeights(Weighted):
  """Omits the scale of the scores while the weights are recorded."""

  def scores(self, q, k, mask):
    scale = 1.0 if watched() else self.key_size**-0.5
    return super().scores(q * (scale * self.key_size**0.5), k, mask)


FIRST = {}


@breaks("numerics.outputs_are_deterministic", depth="full")
class RemembersFirstLength(Standard):
  """Scales by the length of the first sequence that it was called with."""

  def attend(self, q, k, v, mask):
    length = FIRST.setdefault("length", q.shape[1])
    return super().attend(q * np.log(1 + length), k, v, mask)


@breaks("numerics.compiled_equals_eager", depth="full")
class RoundsWhenCompiled(MultiHead):
  """Rounds values to 16 bits when it is compiled."""

  def attend(self, q, k, v, mask):
    if isinstance(v, jax.core.Tracer):
      v = v.astype(jnp.bfloat16).astype(v.dtype)
    return self.dot_product(q, *self.every_head(k, v), mask)
