"""Attentions whose key-value cache differs from the full pass."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import append
from attention_lab.attention.base.multi_head import KVCache, remember
from attention_lab.attention.base.weighted import Weighted
from attention_lab.attention.sliding_window import SlidingWindow
from attention_lab.attention.standard import Standard
from attention_lab.kernel.mask import Mask
from tests.conformance.broken.base import breaks


@breaks("decoding.decoding_equals_full_pass")
class LateCache(Standard):
  """Stores each position in the cache plus one."""

  def extend(self, query, state, positions):
    late = state._replace(positions=state.positions + 1)
    return super().extend(query, late, positions)


@breaks("decoding.decoding_equals_full_pass")
class OverwritesCache(Standard):
  """Overwrites the first slots of the cache in each call."""

  def extend(self, query, state, positions):
    y, new = super().extend(query, state, positions)
    return y, new._replace(filled=state.filled)


class Generated(NamedTuple):
  """A cache of the prompt and of the tokens generated since."""

  cache: KVCache
  steps: jax.Array  # [] int32: single tokens since the last longer chunk.


@breaks("decoding.decoding_equals_full_pass")
class KeepsLast32Steps(Standard):
  """Keeps the prompt and the last 32 of the tokens that came one by one."""

  def initial_state(self, batch_size, length, dtype):
    cache = super().initial_state(batch_size, length, dtype)
    return Generated(cache, jnp.zeros((), jnp.int32))

  def extend(self, query, state, positions):
    cache, steps = state
    if query.shape[1] > 1:
      y, cache = super().extend(query, cache, positions)
      return y, Generated(cache, jnp.zeros((), jnp.int32))
    at = cache.filled - steps + steps % 32
    y, new = super().extend(query, cache._replace(filled=at), positions)
    return y, Generated(new._replace(filled=cache.filled + 1), steps + 1)


@breaks("decoding.decoding_equals_full_pass")
class KeepsOneTooFew(SlidingWindow):
  """Keeps one token less than the window needs."""

  window: int = 24

  def initial_state(self, batch_size, length, dtype):
    state = super().initial_state(batch_size, length, dtype)
    return jax.tree.map(lambda x: x[:, : self.window - 2], state)


@breaks("decoding.decoding_equals_full_pass")
class KeepsOneTooMany(SlidingWindow):
  """Attends to all tokens of a ring of window + 1 slots, without the window."""

  window: int = 24

  @property
  def reach(self):
    return super().reach + 1

  def __call__(self, query, context, mask):
    q = self.queries(query, mask.query_positions)
    k, v = self.keys_values(context, mask.context_positions)
    return self.merge(self.dot_product(q, k, v, mask, window=self.window))


@breaks("decoding.decoding_equals_full_pass", depth="full")
class CountsPositions(Standard):
  """Takes the number of filled slots for the position, which padding shifts."""

  def extend(self, query, state, positions):
    slots = state.filled + jnp.arange(query.shape[1], dtype=jnp.int32)
    counted = jnp.where(positions < 0, -1, slots[None])
    return super().extend(query, state, counted)


@breaks("decoding.decoding_equals_full_pass", depth="full")
class ContinuesPositions(Standard):
  """Takes one more than the last position for a single token's, which gaps refute."""

  def extend(self, query, state, positions):
    if query.shape[1] == 1:
      last = state.positions.max(axis=1, keepdims=True)
      positions = jnp.where(positions < 0, -1, last + 1)
    return super().extend(query, state, positions)


@breaks("decoding.decoding_equals_full_pass")
class RotatesBySlot(Standard):
  """Caches keys before their rotation, and rotates them by their slots."""

  def extend(self, query, state, positions):
    q = self.queries(query, positions)
    k, v = (self.project(query, self.kv_heads, name) for name in ("key", "value"))
    state = KVCache(
      keys=append(state.keys, k, state.filled),
      values=append(state.values, v, state.filled),
      positions=append(state.positions, positions, state.filled),
      filled=state.filled + query.shape[1],
    )
    slots = jnp.arange(state.keys.shape[1], dtype=jnp.int32)
    slots = jnp.broadcast_to(slots, state.positions.shape)
    keys = self.position.rotate_keys(state.keys, slots)
    mask = Mask(positions, state.positions, causal=True)
    return self.read(q, keys, state.values, mask), state


@breaks("decoding.decoding_equals_full_pass")
class ReadsEmptySlots(Standard):
  """Starts with position 0 in all slots, so that empty ones count as tokens."""

  def initial_state(self, batch_size, length, dtype):
    state = super().initial_state(batch_size, length, dtype)
    return state._replace(positions=jnp.zeros_like(state.positions))


@breaks("decoding.decoding_equals_full_pass")
class SeesWholeChunk(Standard):
  """Lets all tokens of a chunk attend as its last one does."""

  def extend(self, query, state, positions):
    q = self.queries(query, positions)
    state = remember(self, query, state, positions)
    last = jnp.broadcast_to(positions[:, -1:], positions.shape)
    mask = Mask(last, state.positions, causal=True)
    return self.read(q, state.keys, state.values, mask), state


@breaks("decoding.decoding_equals_full_pass")
class DecodesByFirstRow(Standard):
  """Decodes all rows at the positions of the first."""

  def extend(self, query, state, positions):
    first = jnp.broadcast_to(positions[:1], positions.shape)
    return super().extend(query, state, first)


@breaks("decoding.decoding_equals_full_pass")
class ClipsFarPositions(Standard):
  """Rotates single tokens by a table of 128 rows, to which later positions are clipped."""

  def extend(self, query, state, positions):
    if query.shape[1] == 1:
      positions = jnp.minimum(positions, 127)
    return super().extend(query, state, positions)


@breaks("decoding.decoding_equals_full_pass")
class TruncatesPrompt(Standard):
  """Keeps only the last 64 tokens of a longer chunk."""

  def extend(self, query, state, positions):
    y, new = super().extend(query, state, positions)
    if query.shape[1] > 64:
      early = jnp.arange(new.positions.shape[1])[None] < new.filled - 64
      new = new._replace(positions=jnp.where(early, -1, new.positions))
    return y, new


@breaks("decoding.decoding_equals_full_pass")
class OmitsBiasInSteps(Weighted):
  """Omits the bias of the scheme for single tokens."""

  def scores(self, q, k, mask):
    scores = super().scores(q, k, mask)
    single = mask.causal and q.shape[1] == 1 and k.shape[1] > 1
    return scores - self.position_bias(mask) if single else scores


@breaks("rows.aligned_equals_unaligned")
class OmitsBiasIfAligned(Weighted):
  """Omits the bias of the scheme in the fast path of training."""

  def position_bias(self, mask):
    return 0.0 if mask.aligned else super().position_bias(mask)


@breaks("decoding.decoding_equals_full_pass", depth="full")
class CachesRoundedPositions(Standard):
  """Stores positions in the compute dtype: bfloat16 rounds 257 to 256."""

  def extend(self, query, state, positions):
    y, new = super().extend(query, state, positions)
    rounded = new.positions.astype(query.dtype).astype(jnp.int32)
    return y, new._replace(positions=rounded)


@breaks("decoding.decoding_equals_full_pass")
class CachesInBfloat16(Standard):
  """Stores keys and values in bfloat16, whatever the compute dtype."""

  def initial_state(self, batch_size, length, dtype):
    return super().initial_state(batch_size, length, jnp.bfloat16)


@breaks("decoding.decoding_equals_full_pass")
class ScalesByCacheSize(Weighted):
  """Scales scores by the logarithm of the number of slots, filled or empty."""

  def scores(self, q, k, mask):
    scores = super().scores(q, k, mask)
    return scores * jnp.log(k.shape[1]) if q.shape[1] < k.shape[1] else scores
