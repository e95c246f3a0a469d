"""Mixture of block attention: a query's best blocks (Lu et al., arXiv:2502.13189)."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.weighted import Weighted
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import products, show_weights


@register_attention("moba")
@dataclasses.dataclass(kw_only=True)
class Moba(Weighted):
  """Softmax attention to the tokens of the query's own block and of its best past blocks.

  The score of a block is the product of the query with the mean of the block's keys. Of the
  blocks before the query's own, each head takes the `top_k` - 1 with the largest scores, so
  that no unfinished block is summarised. The block of a token is its position // block.

  Equation:
    y_i = Σ_{j∈B(i), j≤i} softmax_j(q_i·k_j / √K) v_j
    B(i) = {b(i)} ∪ top_{b<b(i)} q_i·mean_{j∈b} k_j

  Departures:
    - It forms [T, S]; the paper's kernel computes the chosen blocks alone.
    - Blocks with equal scores are all taken, or none.
  """

  block: int = 16  # Tokens of a block; 512 in the paper.
  top_k: int = 3  # Blocks that a query attends to, its own included.

  kinds: ClassVar[tuple[str, ...]] = ("causal",)
  relative: ClassVar[bool] = False  # Blocks begin at multiples of their size.
  smooth: ClassVar[bool] = False  # The choice jumps.

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    allowed = mask.dense() & self._chosen(q, k, mask)
    weights = show_weights(self.weights(self.scores(q, k, mask), allowed))
    return self.read_out(weights, v)

  def _chosen(self, q: jax.Array, k: jax.Array, mask: Mask) -> jax.Array:
    """Return whether each query takes the block of each token: [B, N, T, S] bool."""
    for option in ("block", "top_k"):
      if (value := getattr(self, option)) < 1:
        raise UserError(f"moba({option}={value}): take 1 or more.")
    wide = jnp.promote_types(k.dtype, jnp.float32)
    q, k = q.astype(wide), k.astype(wide)
    if mask.aligned and mask.context_segments is None:
      return self._among_blocks(q, k)
    own = (mask.query_positions // self.block)[:, None, :, None]
    at = (mask.context_positions // self.block)[:, None, None]
    together = self._together(mask)
    shares = together / jnp.maximum(together.sum(axis=-1, keepdims=True), 1)
    means = jnp.einsum("BSR,BRNK->BSNK", shares.astype(wide), k)
    past = mask.dense() & (at < own)
    # The first token of a block stands for it.
    first = ~jnp.tril(together, -1).any(axis=-1)[:, None, None]
    return (own == at) | self._best(products(q, means), past, past & first)

  def _among_blocks(self, q: jax.Array, k: jax.Array) -> jax.Array:
    """Return what `_chosen` does for positions 0, 1, 2, …, of few means: [B, N, T, S]."""
    length = k.shape[1]
    count = -(-length // self.block)
    padded = jnp.pad(k, [(0, 0), (0, count * self.block - length), (0, 0), (0, 0)])
    blocks = padded.reshape(len(k), count, self.block, *k.shape[2:])
    own = (jnp.arange(q.shape[1]) // self.block)[None, None, :, None]
    at = jnp.arange(count)[None, None, None]
    scores = products(q, blocks.mean(axis=2))
    past = jnp.broadcast_to(at < own, scores.shape)
    chosen = (own == at) | self._best(scores, past, past)
    return jnp.repeat(chosen, self.block, axis=-1)[..., :length]

  def _best(self, scores: jax.Array, past: jax.Array, distinct: jax.Array) -> jax.Array:
    """Return which past blocks are among the `top_k` - 1 best: [..., S] bool.

    Args:
      scores: of blocks, which may occur several times.
      past: whether a block is before the query's own.
      distinct: `past`, once for each block.
    """
    count = min(self.top_k - 1, scores.shape[-1])
    if not count:
      return jnp.zeros_like(past)
    least = jax.lax.top_k(jnp.where(distinct, scores, -jnp.inf), count)[0][..., -1:]
    return past & (scores >= least)

  def _together(self, mask: Mask) -> jax.Array:
    """Return which tokens are in the same block of a document: [B, S, S] bool."""
    at = mask.context_positions // self.block
    together = (at[:, :, None] == at[:, None]) & (at >= 0)[:, None]
    if mask.context_segments is not None:
      segments = mask.context_segments
      together &= segments[:, :, None] == segments[:, None]
    return together
