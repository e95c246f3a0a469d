"""Attentions that are wrong without causality, across two sequences or in groups."""

import jax
import jax.numpy as jnp

from attention_lab.attention.base.multi_head import KVMemory
from attention_lab.attention.base.weighted import Weighted
from attention_lab.attention.standard import Standard
from attention_lab.kernel.mask import Mask
from tests.conformance.broken.base import Masked, breaks, difference, present


@breaks("cross_attention.context_is_read")
class UsesQueryPositions(Standard):
  """Rotates and masks the context by the positions of the queries."""

  def __call__(self, query, context, mask):
    at = mask.query_positions
    return super().__call__(query, context, Mask(at, at, mask.causal))


@breaks("cross_attention.recall_equals_cross_attention")
class MemorisesPadding(Standard):
  """Treats the padding of a memorised context as tokens."""

  def memorise(self, context, positions):
    return super().memorise(context, jnp.abs(positions))


@breaks("cross_attention.recall_equals_cross_attention")
class RecallsFromPositionZero(Standard):
  """Recalls each chunk of queries as if it began at position 0."""

  def recall(self, query, positions, memory):
    return super().recall(query, positions - positions[:, :1], memory)


@breaks("claims.odd_sizes_work")
class NeedsEvenHeads(Standard):
  """Splits heads into two halves."""

  def attend(self, q, k, v, mask):
    halves = v.reshape(*v.shape[:-1], 2, v.shape[-1] // 2)
    return super().attend(q, k, halves.reshape(v.shape), mask)


@breaks("claims.longer_sequences_work")
class NeedsTrainingLength(Standard):
  """Truncates its inputs to the training length."""

  def attend(self, q, k, v, mask):
    short = self.position.max_length
    cut = Mask(mask.query_positions[:, :short], mask.context_positions, mask.causal)
    return super().attend(q[:, :short], k, v, cut)


@breaks("bidirectional.both_sides_are_read")
class MasksTheFuture(Masked):
  """Is causal whatever the mask says."""

  kinds = ("causal", "bidirectional")

  def allowed(self, mask):
    return (difference(mask) >= 0) & present(mask)


@breaks("bidirectional.both_sides_are_read")
class MasksTheFutureIfAligned(Masked):
  """Takes the causal fast path for all masks with positions 0, 1, 2, …."""

  def allowed(self, mask):
    if not mask.aligned:
      return mask.dense()
    return (difference(mask) >= 0) & present(mask)


@breaks("bidirectional.both_sides_are_read", depth="full")
class MasksTheFutureOfLongSequences(Masked):
  """Is causal from 128 tokens on, whatever the mask says."""

  kinds = ("causal", "bidirectional")

  def allowed(self, mask):
    if mask.query_positions.shape[1] < 128:
      return mask.dense()
    return (difference(mask) >= 0) & present(mask)


@breaks("cross_attention.context_is_read", depth="full")
class TruncatesContext(Weighted):
  """Reads as many context tokens as there are queries."""

  def attend(self, q, k, v, mask):
    length = k.shape[1] if mask.causal else q.shape[1]
    at = Mask(mask.query_positions, mask.context_positions[:, :length], mask.causal)
    return super().attend(q, k[:, :length], v[:, :length], at)


@breaks("cross_attention.context_is_read", depth="full")
class TruncatesQueries(Weighted):
  """Returns zeros for more queries than there are context tokens."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    late = jnp.arange(q.shape[1])[None, :, None, None] >= k.shape[1]
    return jnp.where(late, 0, y)


@breaks("cross_attention.context_is_read", depth="full")
class MasksTheContext(Masked):
  """Attends to context positions up to the query's in cross-attention, too."""

  kinds = ("causal", "cross")

  def allowed(self, mask):
    return (difference(mask) >= 0) & present(mask)


@breaks("cross_attention.recall_equals_cross_attention", depth="full")
class MemorisesTheEnd(Standard):
  """Memorises only the last 64 tokens of a context."""

  def memorise(self, context, positions):
    return super().memorise(context[:, -64:], positions[:, -64:])


@breaks("cross_attention.recall_equals_cross_attention")
class MemorisesUnrotatedKeys(Standard):
  """Stores keys without rotation in the memory."""

  def memorise(self, context, positions):
    k, v = (self.project(context, self.kv_heads, name) for name in ("key", "value"))
    return KVMemory(k, v, positions)


@breaks("cross_attention.recall_equals_cross_attention")
class RecallsCausally(Standard):
  """Recalls with a causal mask."""

  def recall(self, query, positions, memory):
    mask = Mask(positions, memory.positions, causal=True)
    return self.read(self.queries(query, positions), memory.keys, memory.values, mask)


@breaks("claims.grouped_heads_work")
class TilesGroupedKeys(Weighted):
  """Tiles keys over the heads and repeats values."""

  def every_head(self, k, v):
    repeats = self.num_heads // self.kv_heads
    return jnp.tile(k, (1, 1, repeats, 1)), jnp.repeat(v, repeats, axis=2)


@breaks("claims.grouped_heads_work")
class UsesFirstGroup(Weighted):
  """Repeats the first group's keys and values for all heads."""

  def every_head(self, k, v):
    if self.kv_heads == self.num_heads:
      return k, v
    return tuple(jnp.repeat(x[:, :, :1], self.num_heads, axis=2) for x in (k, v))


@breaks("claims.grouped_heads_work")
class RepeatsOverTime(Weighted):
  """Repeats the groups along the axis of the tokens, and reads heads out of it."""

  def every_head(self, k, v):
    repeats = self.num_heads // self.kv_heads
    shape = (*k.shape[:2], self.num_heads, self.key_size)
    return tuple(jnp.repeat(x, repeats, axis=1).reshape(shape) for x in (k, v))


@breaks("claims.grouped_heads_work")
class CannotGroup(Weighted):
  """Assumes a key for each head."""

  def every_head(self, k, v):
    return k, v


@breaks("claims.odd_sizes_work")
class AssumesHeadsFillModel(Weighted):
  """Merges heads by a reshape to d_model."""

  def merge(self, heads):
    return super().merge(heads) + heads.reshape(*heads.shape[:2], self.d_model)


@breaks("claims.odd_sizes_work", depth="full")
class DividesBySizeMinusOne(Weighted):
  """Standardises queries with the unbiased variance, which one channel does not have."""

  def attend(self, q, k, v, mask):
    centred = q - q.mean(axis=-1, keepdims=True)
    variance = (centred**2).sum(axis=-1, keepdims=True) / (self.key_size - 1)
    return super().attend(centred * jax.lax.rsqrt(variance + 1e-6), k, v, mask)


@breaks("claims.longer_sequences_work")
class IndexesTable(Weighted):
  """Gates by a table of max_length rows, whose other rows are NaN."""

  def attend(self, q, k, v, mask):
    table = jnp.linspace(1, 2, self.position.max_length)
    gate = table.at[mask.query_positions].get(mode="fill", fill_value=jnp.nan)
    gate = jnp.where(mask.query_positions < 0, 0, gate)[..., None, None]
    return super().attend(q, k, v, mask) * gate.astype(v.dtype)
