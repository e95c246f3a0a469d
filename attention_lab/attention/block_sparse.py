"""Block-sparse attention: near, first and random blocks (BigBird, arXiv:2007.14062)."""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.weighted import Weighted
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import show_weights, watched


@register_attention("block_sparse")
@dataclasses.dataclass(kw_only=True)
class BlockSparse(Weighted):
  """softmax(Q Kᵀ / √K) V among the blocks of tokens that the query's block sees.

  Those are the blocks close by, the first ones and some drawn at random; without causality
  the first blocks also see everything. The block of a token is its position // block, so
  that neither padding nor decoding changes who sees whom. The blocks that are neither near
  nor first are cut into `random_blocks` stretches, and one is drawn of each: none is drawn
  twice. Causal draws depend on the query's block alone; else on the last position too.
  Where positions are 0, 1, 2, … only what is seen is computed; else [T, S] is formed.
  """

  block: int = 16  # Tokens of a block; 64 in the paper.
  window_blocks: int = 2  # Blocks to each side, the query's own included.
  global_blocks: int = 1  # First blocks, which all see; 2 in the paper.
  random_blocks: int = 2  # Further blocks for each block of queries; 3 in the paper.
  seed: int = 0  # Of the random blocks.

  kinds: ClassVar[tuple[str, ...]] = ("causal", "bidirectional")
  linear_time: ClassVar[bool] = True

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    self._refuse()
    if mask.aligned and q.shape[1] == k.shape[1] and not watched():
      return self._gathered(q, k, v, mask)
    allowed = mask.dense() & self._pattern(mask)[:, None]
    weights = show_weights(self.weights(self.scores(q, k, mask), allowed))
    return self.read_out(weights, v)

  def _pattern(self, mask: Mask) -> jax.Array:
    """Whose block sees whose, causality aside: [B, T, S] bool."""
    block = mask.query_positions // self.block
    context = mask.context_positions // self.block
    count = context.max(axis=1, keepdims=True) + 1
    drawn = self._drawn(block, block if mask.causal else count)
    block, context = block[:, :, None], context[:, None]
    near = jnp.abs(block - context) < self.window_blocks
    first = (block < self.global_blocks) | (context < self.global_blocks)
    return near | first | (context[..., None] == drawn[:, :, None]).any(axis=-1)

  def _gathered(
    self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask
  ) -> jax.Array:
    """Every block of queries with the blocks that it sees, side by side in the batch."""
    batch, length = q.shape[:2]
    count = math.ceil(length / self.block)
    seen = self._seen(count, mask.causal)

    def blocks(x: jax.Array, fill: int = 0) -> jax.Array:
      """[B, T, ...] → [B, blocks, rows, ...]."""
      widths = [(0, 0), (0, count * self.block - length)] + [(0, 0)] * (x.ndim - 2)
      x = jnp.pad(x, widths, constant_values=fill)
      return x.reshape(batch, count, self.block, *x.shape[2:])

    def gather(x: jax.Array) -> jax.Array:
      """[B, blocks, rows, ...] → [B · blocks, rows of all that are seen, ...]."""
      x = x[:, jnp.maximum(seen, 0)]
      return x.reshape(batch * count, seen.shape[1] * self.block, *x.shape[4:])

    def join(x: jax.Array) -> jax.Array:
      return x.reshape(-1, *x.shape[2:])

    nobody = jnp.repeat(seen < 0, self.block, axis=1)
    context_at = gather(blocks(mask.context_positions, -1))
    context_at = jnp.where(jnp.tile(nobody, (batch, 1)), -1, context_at)
    some = Mask(join(blocks(mask.query_positions, -1)), context_at, mask.causal)
    keys, values = gather(blocks(k)), gather(blocks(v))
    y = self.dot_product(join(blocks(q)), keys, values, some)
    y = y.reshape(batch, -1, *y.shape[2:])[:, :length]
    rows = min(length, self.global_blocks * self.block)
    if mask.causal or not rows:
      return y
    every = Mask(mask.query_positions[:, :rows], mask.context_positions, causal=False)
    first = self.dot_product(q[:, :rows], k, v, every)
    return jnp.concatenate([first, y[:, rows:]], axis=1)

  def _seen(self, count: int, causal: bool) -> jax.Array:
    """The blocks that each of `count` sees, none twice: [blocks, M], -1 for none."""
    block = jnp.arange(count)[:, None]
    reach = self.window_blocks
    near = block + jnp.arange(1 - reach, 1 if causal else reach)[None]
    first = jnp.arange(min(count, self.global_blocks))[None]
    first = jnp.where(jnp.abs(block - first) < reach, -1, first)
    near = jnp.where(near < count, near, -1)
    drawn = self._drawn(block[:, 0], block[:, 0] if causal else jnp.array([count]))
    return jnp.concatenate([near, first, drawn], axis=1)

  def _drawn(self, block: jax.Array, count: jax.Array) -> jax.Array:
    """Random blocks of query blocks [...], of `count`: [..., random_blocks], -1 for none.

    Neither near ones nor first ones: they come from two stretches, before and after.
    """
    draws, first = self.random_blocks, self.global_blocks
    before = jnp.maximum(block - self.window_blocks + 1 - first, 0)
    start = jnp.maximum(block + self.window_blocks, first)
    total = (before + jnp.maximum(count - start, 0))[..., None]
    key = jax.random.key(self.seed)

    def uniform(block: jax.Array) -> jax.Array:
      own = jax.random.fold_in(key, block)
      return jax.random.uniform(own, (draws,), jnp.float32)

    chance = jax.vmap(uniform)(jnp.maximum(block, 0).ravel())
    number = jnp.arange(draws).reshape((1,) * block.ndim + (draws,))
    low, high = (total * end // max(draws, 1) for end in (number, number + 1))
    chance = chance.reshape(*block.shape, draws)
    drawn = low + jnp.floor(chance * (high - low)).astype(low.dtype)
    before, start = before[..., None], start[..., None]
    drawn = jnp.where(drawn < before, first + drawn, start + drawn - before)
    return jnp.where(low < high, drawn, -1)

  def _refuse(self) -> None:
    """Raises UserError where an option is too small."""
    least = {"block": 1, "window_blocks": 1, "global_blocks": 0, "random_blocks": 0}
    for option, minimum in least.items():
      if (value := getattr(self, option)) < minimum:
        raise UserError(f"block_sparse({option}={value}): take {minimum} or more.")
