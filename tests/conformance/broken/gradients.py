"""Attentions whose outputs are right and whose gradients are wrong or NaN."""

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.weighted import Weighted
from attention_lab.attention.linear import Linear
from attention_lab.attention.retention import Retention
from attention_lab.attention.standard import Standard
from tests.conformance.broken.base import breaks


@breaks("gradients.gradient_is_correct")
class StopsGradient(Standard):
  """Stops the gradient of the queries."""

  def attend(self, q, k, v, mask):
    return super().attend(jax.lax.stop_gradient(q), k, v, mask)


@breaks("gradients.gradient_is_correct")
class StopsGradientOfValues(Standard):
  """Stops the gradient of the values."""

  def attend(self, q, k, v, mask):
    return super().attend(q, k, jax.lax.stop_gradient(v), mask)


@jax.custom_vjp
def products(q, k):
  """Return q · k: [B, N, T, S]. The gradient of k is that of a mean over the queries."""
  return jnp.einsum("BTNK,BSNK->BNTS", q, k)


def _products_backward(saved, gradient):
  q, k = saved
  dq = jnp.einsum("BNTS,BSNK->BTNK", gradient, k)
  return dq, jnp.einsum("BNTS,BTNK->BSNK", gradient, q) / q.shape[1]


products.defvjp(lambda q, k: (products(q, k), (q, k)), _products_backward)


@breaks("gradients.gradient_is_correct")
class WrongGradientOfKeys(Weighted):
  """Has a gradient of its own that is wrong for the keys alone."""

  def scores(self, q, k, mask):
    return products(q, k) * self.key_size**-0.5 + self.position_bias(mask)


@jax.custom_vjp
def scaled(x, scale):
  """Return x [B, T, N, K] times scale [N, 1]. The gradient of `scale` is halved."""
  return x * scale[None, None]


def _scaled_backward(saved, gradient):
  x, scale = saved
  return gradient * scale[None, None], 0.5 * (gradient * x).sum((0, 1, 3))[:, None]


scaled.defvjp(lambda x, scale: (scaled(x, scale), (x, scale)), _scaled_backward)


@breaks("gradients.gradient_is_correct")
class WrongGradientOfOneParameter(Standard):
  """Has a gradient of its own that is wrong for one number of each head."""

  def attend(self, q, k, v, mask):
    shape = (self.num_heads, 1)
    scale = hk.get_parameter("scale", shape, q.dtype, init=jnp.ones)
    return scaled(super().attend(q, k, v, mask), scale)


@jax.custom_vjp
def without_padding(x, real):
  """Return x [B, S, N, K] where `real` [B, S], else 0. The gradient is not masked."""
  return jnp.where(real[..., None, None], x, 0)


without_padding.defvjp(
  lambda x, real: (without_padding(x, real), None), lambda saved, g: (g, None)
)


@breaks("gradients.gradient_is_correct")
class GradientReadsPadding(Linear):
  """Omits the mask of padding in a backward pass of its own."""

  def advance(self, query, context, mask, state):
    q = self.query_features(query, mask.query_positions)
    k = self.key_features(context, mask.context_positions)
    k = without_padding(k, mask.context_positions >= 0)
    return self.mean(q, k, self.project(context, "value"), mask, state)


@breaks("gradients.gradient_is_correct", depth="full")
class FreezesContext(Standard):
  """Stops the gradient of a context that is another sequence."""

  def __call__(self, query, context, mask):
    if not mask.causal and query.shape[1] != context.shape[1]:
      context = jax.lax.stop_gradient(context)
    return super().__call__(query, context, mask)


@breaks("gradients.gradient_is_correct", depth="full")
class FreezesContextAlways(Standard):
  """Stops the gradient of the context in cross-attention, as of an encoder's output."""

  def __call__(self, query, context, mask):
    if not mask.causal:
      context = jax.lax.stop_gradient(context)
    return super().__call__(query, context, mask)


@breaks("gradients.gradient_is_correct", depth="full")
class TruncatesBackpropagation(Retention):
  """Stops the gradient of the state between chunks of 64 tokens."""

  linear_time = False  # The loop is unrolled, which is slow to compile.

  def advance(self, query, context, mask, state):
    heads = []
    for start in range(0, query.shape[1], 64):
      now = slice(start, start + 64)
      at = type(mask)(
        mask.query_positions[:, now], mask.context_positions[:, now], mask.causal
      )
      y, state = super().advance(query[:, now], context[:, now], at, state)
      state = jax.lax.stop_gradient(state)
      heads.append(y)
    return jnp.concatenate(heads, axis=1), state


@breaks("gradients.gradient_is_correct", depth="full")
class RoundsQueries(Weighted):
  """Rounds queries without a straight-through gradient."""

  def scores(self, q, k, mask):
    return super().scores(jnp.round(q * 64) / 64, k, mask)


@breaks("gradients.gradients_are_finite")
class DividesByNorm(Standard):
  """Divides keys by their norm, whose gradient at zero is NaN."""

  def attend(self, q, k, v, mask):
    norm = jnp.linalg.norm(k, axis=-1, keepdims=True)
    return super().attend(q, k / (norm + 1e-6), v, mask)


@breaks("gradients.gradients_are_finite")
class ComparesTokens(Weighted):
  """Scores by Euclidean distances, whose gradient is NaN between equal tokens."""

  honours = ("bias",)

  def queries(self, x, positions):
    return self.project(x, self.num_heads, "key")

  def keys_values(self, x, positions):
    names = ("key", "value")
    return tuple(self.project(x, self.num_heads, name) for name in names)

  def scores(self, q, k, mask):
    square = ((q[:, :, None] - k[:, None]) ** 2).sum(axis=-1)
    itself = mask.query_positions[:, :, None] == mask.context_positions[:, None]
    itself |= (mask.query_positions < 0)[:, :, None]
    itself = itself[..., None]
    distance = jnp.where(itself, 0, jnp.sqrt(jnp.where(itself, 1, square)))
    return self.position_bias(mask) - jnp.moveaxis(distance, 3, 1)


@breaks("gradients.gradients_are_finite")
class MeasuresAngles(Weighted):
  """Scores by the angle of query and key, whose gradient is infinite if they agree."""

  honours = ("bias",)

  def queries(self, x, positions):
    return self.project(x, self.num_heads, "key")

  def keys_values(self, x, positions):
    names = ("key", "value")
    return tuple(self.project(x, self.num_heads, name) for name in names)

  def scores(self, q, k, mask):
    q, k = (x * jax.lax.rsqrt((x * x).sum(-1, keepdims=True) + 1e-12) for x in (q, k))
    cosine = jnp.clip(jnp.einsum("BTNK,BSNK->BNTS", q, k), -1, 1)
    return 1 - jnp.arccos(cosine) + self.position_bias(mask)


@breaks("gradients.gradient_is_correct", depth="full")
class WrongGradientInBfloat16(Standard):
  """Stops the gradient of the queries in 16 bits."""

  def attend(self, q, k, v, mask):
    if q.dtype.itemsize == 2:
      q = jax.lax.stop_gradient(q)
    return super().attend(q, k, v, mask)


@breaks("gradients.gradient_is_correct", depth="full")
class WrongGradientWithKey(Standard):
  """Stops the gradient of what a random mask keeps, in training alone."""

  def attend(self, q, k, v, mask):
    key = hk.maybe_next_rng_key()
    if key is not None:
      kept = jax.random.bernoulli(key, 0.9, v.shape) / 0.9
      v = jax.lax.stop_gradient(v * kept)
    return super().attend(q, k, v, mask)
