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
  """Softmax attention to the blocks of tokens B(i) that the query's block attends to.

  Those are the nearest blocks, the first ones and some random ones; without causality
  the first blocks also attend to all blocks. The block of a token is its position //
  block, so that neither padding nor decoding changes the pattern. Causal samples depend
  on the query's block only, others on the last position too. At positions 0, 1, 2, …
  only the pattern is computed; otherwise, also with several documents in a sequence, a
  [T, S] array is formed.

  Equation:
    y_i = Σ_{j∈B(i)} softmax_j(q_i·k_j / √K) v_j

  Departures:
    - The random blocks are stratified: the blocks that are neither near nor first are
      divided into `random_blocks` ranges, and one block of each is drawn, so that none
      occurs twice.
    - They are drawn by a hash of seed and block, so that they do not depend on the
      length.
  """

  block: int = 16  # Tokens of a block; 64 in the paper.
  window_blocks: int = 2  # Blocks to each side, the query's own included.
  global_blocks: int = 1  # First blocks, which all see; 2 in the paper.
  random_blocks: int = 2  # Further blocks for each block of queries; 3 in the paper.
  seed: int = 0  # Of the random blocks.

  kinds: ClassVar[tuple[str, ...]] = ("causal", "bidirectional")
  relative: ClassVar[bool] = False  # Blocks begin at multiples of their size.
  linear_time: ClassVar[bool] = True

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    self._refuse()
    one = mask.query_segments is None  # Blocks are counted from a document's start.
    if mask.aligned and one and q.shape[1] == k.shape[1] and not watched():
      return self._gathered(q, k, v, mask)
    allowed = mask.dense() & self._pattern(mask)[:, None]
    weights = show_weights(self.weights(self.scores(q, k, mask), allowed))
    return self.read_out(weights, v)

  def _pattern(self, mask: Mask) -> jax.Array:
    """Return which block attends to which, without causality: [B, T, S] bool."""
    block = mask.query_positions // self.block
    context = mask.context_positions // self.block
    count = _last(mask) // self.block + 1
    chosen = self._chosen(block, block if mask.causal else count)
    block, context = block[:, :, None], context[:, None]
    near = jnp.abs(block - context) < self.window_blocks
    first = (block < self.global_blocks) | (context < self.global_blocks)
    return near | first | (context[..., None] == chosen[:, :, None]).any(axis=-1)

  def _gathered(
    self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask
  ) -> jax.Array:
    """Attend from every block of queries to its blocks, batched over blocks."""
    batch, length = q.shape[:2]
    count = math.ceil(length / self.block)
    seen = self._seen(count, mask.causal)

    def blocks(x: jax.Array, fill: int = 0) -> jax.Array:
      """Divide into blocks: [B, T, ...] → [B, blocks, rows, ...]."""
      widths = [(0, 0), (0, count * self.block - length)] + [(0, 0)] * (x.ndim - 2)
      x = jnp.pad(x, widths, constant_values=fill)
      return x.reshape(batch, count, self.block, *x.shape[2:])

    def gather(x: jax.Array) -> jax.Array:
      """Gather the blocks attended to: [B, blocks, rows, ...] → [B · blocks, rows, ...]."""
      x = x[:, jnp.maximum(seen, 0)]
      return x.reshape(batch * count, seen.shape[1] * self.block, *x.shape[4:])

    def join(x: jax.Array) -> jax.Array:
      return x.reshape(-1, *x.shape[2:])

    empty = jnp.repeat(seen < 0, self.block, axis=1)
    context_at = gather(blocks(mask.context_positions, -1))
    context_at = jnp.where(jnp.tile(empty, (batch, 1)), -1, context_at)
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
    """Return the blocks that each of `count` attends to: [blocks, M], -1 for none."""
    block = jnp.arange(count)[:, None]
    reach = self.window_blocks
    near = block + jnp.arange(1 - reach, 1 if causal else reach)[None]
    first = jnp.arange(min(count, self.global_blocks))[None]
    first = jnp.where(jnp.abs(block - first) < reach, -1, first)
    near = jnp.where(near < count, near, -1)
    chosen = self._chosen(block[:, 0], block[:, 0] if causal else jnp.array([count]))
    return jnp.concatenate([near, first, chosen], axis=1)

  def _chosen(self, block: jax.Array, count: jax.Array) -> jax.Array:
    """Random blocks of query blocks [...], of `count`: [..., random_blocks], -1 for none.

    Neither near ones nor first ones: they come from two stretches, before and after.
    """
    samples, first = self.random_blocks, self.global_blocks
    before = jnp.maximum(block - self.window_blocks + 1 - first, 0)
    start = jnp.maximum(block + self.window_blocks, first)
    total = (before + jnp.maximum(count - start, 0))[..., None]
    key = jax.random.key(self.seed)

    def uniform(block: jax.Array) -> jax.Array:
      own = jax.random.fold_in(key, block)
      return jax.random.uniform(own, (samples,), jnp.float32)

    chance = jax.vmap(uniform)(jnp.maximum(block, 0).ravel())
    number = jnp.arange(samples).reshape((1,) * block.ndim + (samples,))
    low, high = (total * end // max(samples, 1) for end in (number, number + 1))
    chance = chance.reshape(*block.shape, samples)
    chosen = low + jnp.floor(chance * (high - low)).astype(low.dtype)
    before, start = before[..., None], start[..., None]
    chosen = jnp.where(chosen < before, first + chosen, start + chosen - before)
    return jnp.where(low < high, chosen, -1)

  def _refuse(self) -> None:
    """Raise `UserError` if an option is too small."""
    least = {"block": 1, "window_blocks": 1, "global_blocks": 0, "random_blocks": 0}
    for option, minimum in least.items():
      if (value := getattr(self, option)) < minimum:
        raise UserError(f"block_sparse({option}={value}): take {minimum} or more.")


def _last(mask: Mask) -> jax.Array:
  """Return the last position that queries may see without causality: [B, T], [B, 1]."""
  if mask.query_segments is None or mask.context_segments is None:
    return mask.context_positions.max(axis=1, keepdims=True)
  own = mask.query_segments[:, :, None] == mask.context_segments[:, None]
  return jnp.where(own, mask.context_positions[:, None], -1).max(axis=2)
