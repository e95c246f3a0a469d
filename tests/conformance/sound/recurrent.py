"""Sound recurrences, convolutions and caches of an unusual form."""

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import Attention
from attention_lab.attention.base.multi_head import KVCache, MultiHead
from attention_lab.attention.base.recurrent import Recurrent, unit, where_real, wide
from attention_lab.attention.base.weighted import Weighted
from attention_lab.kernel.mask import Mask
from attention_lab.nn.linear import Linear
from tests.conformance.broken.base import difference, only_present
from tests.conformance.sound.base import Stepwise, sound


@sound
class Gru(Stepwise):
  """Moves a hidden state on by a nonlinear function of it, token by token."""

  def inputs(self, x):
    return [self.project(x, name) for name in ("update", "reset", "candidate")]

  def step(self, state, update, reset, candidate):
    update, reset = jax.nn.sigmoid(update), jax.nn.sigmoid(reset)
    new = update * state + (1 - update) * jnp.tanh(candidate + reset * state)
    return new, new

  def initial_state(self, batch_size, length, dtype):
    return jnp.zeros((batch_size, self.num_heads * self.key_size), wide(dtype))


class Softened(NamedTuple):
  """The state of a running softmax."""

  top: jax.Array  # [B, N K]: largest exponent so far
  values: jax.Array  # [B, N K]: sum of exp(k - top) v
  weights: jax.Array  # [B, N K]: sum of exp(k - top)


@sound
class RunningSoftmax(Stepwise):
  """Returns the mean of the values so far, weighted by exp(key): AFT and RWKV."""

  def inputs(self, x):
    return [self.project(x, "key"), self.project(x, "value")]

  def step(self, state, k, v):
    top = jnp.maximum(state.top, k)
    old, new = jnp.exp(state.top - top), jnp.exp(k - top)
    state = Softened(top, state.values * old + new * v, state.weights * old + new)
    return state, state.values / state.weights

  def initial_state(self, batch_size, length, dtype):
    zeros = jnp.zeros((batch_size, self.num_heads * self.key_size), wide(dtype))
    return Softened(jnp.full_like(zeros, -1e30), zeros, zeros)


@sound
class ComplexState(Stepwise):
  """Has a complex state that decays and turns: the linear recurrent unit."""

  def inputs(self, x):
    size = self.num_heads * self.key_size
    init = hk.initializers.RandomUniform(0.5, 1.5)
    angle = hk.get_parameter("angle", (size,), wide(x.dtype), init=init)
    angle = jnp.broadcast_to(angle, (*x.shape[:2], size))
    return [self.project(x, "real"), self.project(x, "imaginary"), angle]

  def step(self, state, real, imaginary, angle):
    turn = jax.lax.complex(0.9 * jnp.cos(angle), 0.9 * jnp.sin(angle))
    state = turn * state + jax.lax.complex(real, imaginary)
    return state, state.real

  def initial_state(self, batch_size, length, dtype):
    shape = (batch_size, self.num_heads * self.key_size)
    return jnp.zeros(shape, jnp.result_type(wide(dtype), jnp.complex64))


@sound
class KeepsLargest(Stepwise):
  """Returns the largest value so far of each channel."""

  def inputs(self, x):
    return [self.project(x, "value")]

  def step(self, state, v):
    state = jnp.maximum(state, v)
    return state, state

  def initial_state(self, batch_size, length, dtype):
    shape = (batch_size, self.num_heads * self.key_size)
    return jnp.full(shape, -10, wide(dtype))


class Shifted(NamedTuple):
  """The state of a token shift."""

  previous: jax.Array  # [B, N K]: the previous token's projection
  total: jax.Array  # [B, N K]: sum of what was mixed so far, decayed


@sound
class ShiftsTokens(Stepwise):
  """Mixes each token with the one before, and sums the mixtures with decay."""

  def inputs(self, x):
    return [self.project(x, "value"), self.project(x, "mix")]

  def step(self, state, v, mix):
    mix = jax.nn.sigmoid(mix)
    total = 0.8 * state.total + mix * v + (1 - mix) * state.previous
    return Shifted(v, total), total

  def initial_state(self, batch_size, length, dtype):
    zeros = jnp.zeros((batch_size, self.num_heads * self.key_size), wide(dtype))
    return Shifted(zeros, zeros)


@sound
class LogSpaceScan(Attention):
  """Computes a gated sum by an associative scan over logarithms: minGRU."""

  kinds = ("causal",)
  honours = ()
  constant_state = True

  def __call__(self, query, context, mask):
    state = self.initial_state(len(query), query.shape[1], query.dtype)
    return self.extend(query, state, mask.query_positions)[0]

  def initial_state(self, batch_size, length, dtype):
    shape = (batch_size, 1, self.num_heads * self.key_size)
    return jnp.full(shape, -30.0, wide(dtype))

  def extend(self, query, state, positions):
    size = self.num_heads * self.key_size
    gate, value = (
      Linear(size, False, self.w_init, name)(query).astype(wide(query.dtype))
      for name in ("gate", "value")
    )
    real = (positions >= 0)[..., None]
    decay = jnp.where(real, jax.nn.log_sigmoid(-gate), 0)
    positive = jnp.log(jnp.maximum(value, 0) + 0.5)
    value = jnp.where(value > 0, positive, jax.nn.log_sigmoid(value))
    added = jax.nn.log_sigmoid(gate) + value
    added = jnp.where(real, added, -1e4)
    decay = jnp.concatenate([jnp.zeros_like(state), decay], axis=1)
    added = jnp.concatenate([state, added], axis=1)

    def join(left, right):
      return left[0] + right[0], jnp.logaddexp(left[1] + right[0], right[1])

    _, total = jax.lax.associative_scan(join, (decay, added), axis=1)
    y = jnp.exp(total[:, 1:]).astype(query.dtype)
    return Linear(self.d_model, False, self.output_init, "output")(y), total[:, -1:]


@sound
class ConvolvesByFft(Weighted):
  """Convolves values with a filter of the distance, by FFT with zero padding."""

  separates_documents = False  # It convolves whole rows.
  kinds = ("causal",)
  honours = ()

  def filter(self, distance):
    """Return the weight of a distance, for each head: [...] → [..., N]."""
    rate = jnp.asarray([2.0 ** -(1 + n % 6) for n in range(self.num_heads)])
    distance = distance[..., None].astype(wide(distance.dtype))
    rate = rate.reshape((1,) * (distance.ndim - 1) + (-1,))
    return jnp.exp(-rate * distance) * jnp.cos(distance / 4)

  def attend(self, q, k, v, mask):
    v = v.astype(wide(v.dtype)) * jax.nn.sigmoid(k.astype(wide(k.dtype)))
    if not mask.aligned:
      distance = jnp.maximum(difference(mask)[:, 0], 0)
      weights = jnp.where(mask.dense()[:, 0, ..., None], self.filter(distance), 0)
      return jnp.einsum("BTSN,BSNK->BTNK", weights, v)
    length = v.shape[1]
    weights = jnp.fft.rfft(self.filter(jnp.arange(length)), 2 * length, axis=0)
    values = jnp.fft.rfft(v, 2 * length, axis=1)
    product = values * weights[None, :, :, None]
    return jnp.fft.irfft(product, 2 * length, axis=1)[:, :length]


@sound
class RingBuffer(MultiHead):
  """Keeps the keys and values of a window in slots, each at its position mod window."""

  kinds = ("causal",)
  constant_state = True
  window: int = 32

  def attend(self, q, k, v, mask):
    return self.dot_product(q, k, v, mask, window=self.window)

  def initial_state(self, batch_size, length, dtype):
    return super().initial_state(batch_size, self.window, dtype)

  def extend(self, query, state, positions):
    q, (k, v) = self.queries(query, positions), self.keys_values(query, positions)
    keys = jnp.concatenate([state.keys, k], axis=1)
    values = jnp.concatenate([state.values, v], axis=1)
    at = jnp.concatenate([state.positions, positions], axis=1)
    y = self.read(q, keys, values, Mask(positions, at, causal=True))
    # For each slot, the latest token whose position belongs there.
    slots = jnp.arange(self.window)[None, :, None]
    mine = (at[:, None] % self.window == slots) & (at[:, None] >= 0)
    latest = jnp.argmax(jnp.where(mine, at[:, None], -1), axis=-1)
    found = jnp.take_along_axis(at, latest, axis=1)
    found = jnp.where(mine.any(axis=-1), found, -1)
    keys, values = (
      jnp.take_along_axis(x, latest[..., None, None], axis=1) for x in (keys, values)
    )
    return y, KVCache(keys, values, found, state.filled)


@sound
class FastWeights(Recurrent):
  """Sums outer products of unit keys and values, and squashes what it reads."""

  def advance(self, query, context, mask, state):
    q, k = unit(self.project(query, "query")), unit(self.project(context, "key"))
    q = self.position.rotate(q, mask.query_positions)
    k = self.position.rotate_keys(k, mask.context_positions)
    k = where_real(mask.context_positions, k)
    v = self.project(context, "value").astype(k.dtype)
    writes = jnp.cumsum(jnp.einsum("BTNK,BTNV->BTNKV", k, v), axis=1)
    memory = state.memory[:, None] + writes
    heads = jnp.einsum("BTNK,BTNKV->BTNV", q, memory)
    return jnp.tanh(heads), state._replace(memory=memory[:, -1])


@sound
class CountsTokens(Attention):
  """Returns means of the values so far, by sums of the tokens that are present."""

  honours = ()

  def __call__(self, query, context, mask):
    v = Linear(self.d_model, False, self.w_init, "value")(context)
    v = only_present(v[:, :, None], mask.context_positions)[:, :, 0]
    allowed = mask.dense()[:, 0].astype(wide(v.dtype))
    total = jnp.maximum(allowed.sum(axis=-1, keepdims=True), 1)
    mean = jnp.einsum("BTS,BSD->BTD", allowed, v.astype(allowed.dtype)) / total
    gate = jax.nn.sigmoid(Linear(self.d_model, True, self.w_init, "gate")(query))
    return gate * mean.astype(query.dtype)
