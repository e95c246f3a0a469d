"""Attentions in blocks, chunks, bands and tables that see the future at some boundary."""

import haiku as hk
import jax.numpy as jnp

from attention_lab.attention.base.weighted import Weighted
from attention_lab.errors import UserError
from tests.conformance.broken.base import Masked, breaks, difference, present


class Summaries(Weighted):
  """Base: adds to each token the mean of the values in its block, future included."""

  def summaries(self, v, mask, size, least=1):
    """Return means of blocks of `size` with at least `least` tokens: [B, T, N, K]."""
    block, own = mask.context_positions // size, mask.query_positions // size
    same = (own[:, :, None] == block[:, None]) & (mask.context_positions >= 0)[:, None]
    count = same.sum(axis=-1, keepdims=True)
    mean = same / jnp.maximum(count, 1) * (count >= least)
    return jnp.einsum("BTS,BSNK->BTNK", mean.astype(v.dtype), v)


@breaks("causality.no_gradient_from_future")
class SummarisesBlocks(Summaries):
  """Adds the mean of the query's block, future included."""

  block: int = 16

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v, mask) + self.summaries(v, mask, self.block)


@breaks("causality.no_dependence_on_future")
class SummarisesBlocksOf64(Summaries):
  """Adds the mean of the query's block once its 64 tokens are present."""

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v, mask) + self.summaries(v, mask, 64, 64)


@breaks("causality.no_dependence_on_future", depth="full")
class SummarisesBlocksOf512(Summaries):
  """Adds the mean of the query's block once its 512 tokens are present."""

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v, mask) + self.summaries(v, mask, 512, 512)


@breaks("causality.no_dependence_on_future", depth="full")
class SummarisesLargeBlocks(Summaries):
  """Adds the mean of the query's block once its `block` = 200 tokens are present."""

  block: int = 200

  def attend(self, q, k, v, mask):
    mean = self.summaries(v, mask, self.block, self.block)
    return super().attend(q, k, v, mask) + mean


@breaks("causality.no_dependence_on_future")
class LateThirdChunk(Masked):
  """Ends each earlier chunk of 16 at a multiple of 17, so the third sees one ahead."""

  def allowed(self, mask):
    ends = mask.query_positions // 16 * 17
    earlier = mask.context_positions[:, None, None] < ends[:, None, :, None]
    return mask.dense() | (earlier & present(mask))


@breaks("causality.no_dependence_on_future", depth="full")
class LateFourthBand(Masked):
  """Attends in bands of the window; from the fourth on the window is one token late."""

  window: int = 200

  def allowed(self, mask):
    late = (mask.query_positions // self.window >= 3)[:, None, :, None]
    distance = difference(mask) + late
    near = (distance >= 0) & (distance < self.window) & present(mask)
    return near if mask.causal else mask.dense(self.window)


@breaks("causality.no_dependence_on_future", depth="full")
class LateSecondBlock(Masked):
  """Ends each earlier block at a multiple of one more than the block, which is large."""

  block: int = 512

  def allowed(self, mask):
    ends = mask.query_positions // self.block * (self.block + 1)
    earlier = mask.context_positions[:, None, None] < ends[:, None, :, None]
    return mask.dense() | (earlier & present(mask))


@breaks("causality.no_gradient_from_future")
class SeesUnfinishedBlocks(Weighted):
  """Pools keys and values of 4 tokens, and compares the blocks' first positions."""

  def attend(self, q, k, v, mask):
    widths = [(0, 0), (0, -k.shape[1] % 4), (0, 0), (0, 0)]
    at = jnp.pad(mask.context_positions, widths[:2], constant_values=-1)
    at = at.reshape(len(at), -1, 4)
    real = (at >= 0)[..., None, None]

    def pool(x):
      x = jnp.pad(x, widths).reshape(*at.shape, *x.shape[2:])
      return jnp.where(real, x, 0).sum(axis=2) / jnp.maximum(real.sum(axis=2), 1)

    first = jnp.where(at >= 0, at, 2**30).min(axis=-1)
    allowed = (first < 2**30)[:, None, None]
    if mask.causal:
      allowed = allowed & (
        first[:, None, None] <= mask.query_positions[:, None, :, None]
      )
    scores = jnp.einsum("BTNK,BSNK->BNTS", q, pool(k).astype(q.dtype))
    weights = self.weights(scores * self.key_size**-0.5, allowed)
    return self.read_out(weights, pool(v).astype(v.dtype))


@breaks("causality.no_gradient_from_future")
class MixesByTable(Weighted):
  """Mixes positions by a learned [L, L] table without its lower triangle: gMLP."""

  kinds = ("causal",)
  longest: int = 600  # Rows and columns of the table.

  def attend(self, q, k, v, mask):
    longest = self.longest
    if max(q.shape[1], k.shape[1]) > longest:
      raise UserError(f"Take at most {longest} tokens, or a larger longest=.")
    init = hk.initializers.RandomNormal(longest**-0.5)
    table = hk.get_parameter("table", (longest, longest), v.dtype, init=init)
    query, context = (
      jnp.clip(x, 0, longest - 1)
      for x in (mask.query_positions, mask.context_positions)
    )
    mixing = table[query[:, :, None], context[:, None]] * present(mask)[:, 0]
    gate = jnp.einsum("BTS,BSNK->BTNK", mixing, v)
    return super().attend(q, k, v, mask) + gate


@breaks("decoding.decoding_equals_full_pass")
class MasksSlots(Masked):
  """Masks by `jnp.tril` over slots, which are positions in a full pass only."""

  def allowed(self, mask):
    shape = difference(mask).shape[-2:]
    lower = jnp.tril(jnp.ones(shape, bool))[None, None]
    return lower & present(mask) if mask.causal else mask.dense()


@breaks("causality.no_dependence_on_future")
class KeepsTheLastBlock(Masked):
  """Attends to blocks of 32 without a mask, except in the last block."""

  def allowed(self, mask):
    if not mask.causal:
      return mask.dense()
    query, context = mask.query_positions // 32, mask.context_positions // 32
    last = (query == query.max(axis=1, keepdims=True))[:, None, :, None]
    same = (query[:, :, None] == context[:, None])[:, None]
    return (mask.dense() | (same & ~last)) & present(mask)
