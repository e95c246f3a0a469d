"""Attentions whose decode state resets, loses, or has not the claimed size or dtype."""

import jax
import jax.numpy as jnp

from attention_lab.attention.base.multi_head import KVCache
from attention_lab.attention.base.recurrent import Memory
from attention_lab.attention.delta_net import DeltaNet
from attention_lab.attention.linear import Linear
from attention_lab.attention.retention import Retention
from attention_lab.attention.standard import Standard
from attention_lab.kernel.mask import Mask
from tests.conformance.broken.base import breaks


@breaks("decoding.decoding_equals_full_pass")
class ForgetsConvolution(DeltaNet):
  """Decodes with zeros in place of the most recent tokens of the convolution."""

  def extend(self, query, state, positions):
    zeros = jnp.zeros_like(state.recent)
    return super().extend(query, state._replace(recent=zeros), positions)


@breaks("decoding.state_keeps_shape_and_dtype")
class ChangesStateDtype(Standard):
  """Returns the number of filled slots as a float."""

  def extend(self, query, state, positions):
    y, state = super().extend(query, state, positions)
    return y, state._replace(filled=state.filled.astype(jnp.float32))


@breaks("decoding.state_has_claimed_size")
class ClaimsConstantState(Standard):
  """Claims a constant state, but its cache grows."""

  constant_state = True


@breaks("decoding.decoding_equals_full_pass")
class ResetsAtChunks(Retention):
  """Starts from an empty state at each multiple of the chunk while decoding."""

  def extend(self, query, state, positions):
    start = (positions[:, :1] > 0) & (positions[:, :1] % self.chunk == 0)
    fresh = start[..., None, None]
    return super().extend(query, Memory(jnp.where(fresh, 0, state.memory)), positions)


@breaks("decoding.decoding_equals_full_pass")
class UpdatesInFirstChunk(Linear):
  """Updates the state in the first chunk of positions only."""

  def extend(self, query, state, positions):
    y, new = super().extend(query, state, positions)
    early = (positions[:, :1] < self.chunk)[..., None, None]
    return y, jax.tree.map(lambda new, old: jnp.where(early, new, old), new, state)


@breaks("decoding.decoding_equals_full_pass")
class KeepsStateInBfloat16(Retention):
  """Keeps the state in bfloat16 between calls."""

  def initial_state(self, batch_size, length, dtype):
    state = super().initial_state(batch_size, length, dtype)
    return Memory(state.memory.astype(jnp.bfloat16))

  def extend(self, query, state, positions):
    wide = Memory(state.memory.astype(jnp.float32))
    y, new = super().extend(query, wide, positions)
    return y, Memory(new.memory.astype(jnp.bfloat16))


@breaks("precision.bfloat16_is_accurate", depth="full")
class KeepsStateInComputeDtype(Linear):
  """Keeps the sums of the state in the compute dtype between calls."""

  def initial_state(self, batch_size, length, dtype):
    state = super().initial_state(batch_size, length, dtype)
    return jax.tree.map(lambda x: x.astype(dtype), state)

  def extend(self, query, state, positions):
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), state)
    y, new = super().extend(query, wide, positions)
    return y, jax.tree.map(lambda x, old: x.astype(old.dtype), new, state)


@breaks("decoding.decoding_equals_full_pass")
class AdvancesOverPadding(DeltaNet):
  """Moves the convolution's tokens on at padding while decoding."""

  def extend(self, query, state, positions):
    mask = Mask(positions, positions, causal=True, aligned=True)
    heads, state = self.advance(query, query, mask, state)
    return self.finish(heads, query), state


@breaks("decoding.decoding_equals_full_pass")
class DecaysTwice(Retention):
  """Lets the state decay once more at the end of each chunk of tokens."""

  def extend(self, query, state, positions):
    y, new = super().extend(query, state, positions)
    return y, Memory(new.memory * (0.9 if query.shape[1] > 1 else 1.0))


@breaks("decoding.state_keeps_shape_and_dtype")
class ConcatenatesCache(Standard):
  """Concatenates new keys and values to the cache, which grows in each call."""

  def initial_state(self, batch_size, length, dtype):
    return super().initial_state(batch_size, 0, dtype)

  def extend(self, query, state, positions):
    k, v = self.keys_values(query, positions)
    new = KVCache(
      keys=jnp.concatenate([state.keys, k], axis=1),
      values=jnp.concatenate([state.values, v], axis=1),
      positions=jnp.concatenate([state.positions, positions], axis=1),
      filled=state.filled + query.shape[1],
    )
    mask = Mask(positions, new.positions, causal=True)
    return self.read(self.queries(query, positions), new.keys, new.values, mask), new


@breaks("decoding.state_keeps_shape_and_dtype")
class WidensState(Retention):
  """Returns a state in float32 for one in bfloat16."""

  def initial_state(self, batch_size, length, dtype):
    state = super().initial_state(batch_size, length, dtype)
    return Memory(state.memory.astype(dtype))


@breaks("decoding.state_has_claimed_size")
class ConstantFrom8192(Standard):
  """Claims a constant state that grows with the length up to 8,192 tokens."""

  constant_state = True

  def initial_state(self, batch_size, length, dtype):
    return super().initial_state(batch_size, min(length, 8_192), dtype)


@breaks("decoding.state_has_claimed_size")
class CachesScores(Standard):
  """Reserves room in the state for all scores [S, S]."""

  def initial_state(self, batch_size, length, dtype):
    state = super().initial_state(batch_size, length, dtype)
    return state, jnp.zeros((batch_size, length, length), dtype)

  def extend(self, query, state, positions):
    y, cache = super().extend(query, state[0], positions)
    return y, (cache, state[1])


@breaks("decoding.decoding_equals_full_pass", depth="full")
class Keeps1024Tokens(Standard):
  """Claims a constant state, and keeps the last 1,024 tokens of full attention."""

  constant_state = True

  def initial_state(self, batch_size, length, dtype):
    return super().initial_state(batch_size, 1_024, dtype)

  def extend(self, query, state, positions):
    q = self.queries(query, positions)
    k, v = self.keys_values(query, positions)
    seen = KVCache(
      keys=jnp.concatenate([state.keys, k], axis=1),
      values=jnp.concatenate([state.values, v], axis=1),
      positions=jnp.concatenate([state.positions, positions], axis=1),
      filled=state.filled,
    )
    y = self.read(
      q, seen.keys, seen.values, Mask(positions, seen.positions, causal=True)
    )
    kept = (x[:, -1_024:] for x in (seen.keys, seen.values, seen.positions))
    return y, KVCache(*kept, filled=state.filled)
