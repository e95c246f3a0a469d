"""Dilated sliding window: every d-th token (Longformer: Beltagy, arXiv:2004.05150)."""

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.recent import Recent
from attention_lab.attention.base.weighted import Weighted
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import show_weights, watched

ROWS = 32  # Queries of a block, at least, so that no product is tiny.


@register_attention("dilated")
@dataclasses.dataclass(kw_only=True)
class Dilated(Recent, Weighted):
  """Softmax attention to the tokens at distance 0, d, 2d, …, (window - 1) d.

  Without causality these distances apply on both sides. At positions 0, 1, 2, … tokens
  with the same p mod d only attend to each other: d sequences with a sliding window
  each, in blocks of queries that attend to the adjacent blocks. Otherwise a [T, S]
  array is formed.

  Equation:
    y_i = Σ_j softmax_j(q_i·k_j / √K) v_j
    i - j ∈ {0, d, 2 d, …, (window - 1) d}

  Departures:
    - All heads and layers have the same window and dilation, unless a pattern of layers
      says otherwise; in the paper, two heads of the upper layers are dilated and windows
      grow with the layer. No token is global.
    - Its cache evicts tokens by position, not by slot, so that padding evicts none.
    - Below 128 tokens, and on other devices than a CPU, it uses the plain formula.
  """

  window: int = 32  # Tokens a query sees, itself included.
  dilation: int = 4  # d, the distance between them.

  kinds: ClassVar[tuple[str, ...]] = ("causal", "bidirectional")
  linear_time: ClassVar[bool] = True

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    if mask.aligned and q.shape[1] == k.shape[1] and not watched():
      return self._folded(q, k, v, mask)
    distance = mask.query_positions[:, :, None] - mask.context_positions[:, None]
    allowed = mask.dense(self.reach + 1) & (distance % self.dilation == 0)[:, None]
    weights = show_weights(self.weights(self.scores(q, k, mask), allowed))
    return self.read_out(weights, v)

  @property
  def reach(self) -> int:
    for option in ("window", "dilation"):
      if (value := getattr(self, option)) < 1:
        raise UserError(f"dilated({option}={value}): take 1 or more tokens.")
    return (self.window - 1) * self.dilation

  def _folded(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    """Attend within the blocks of all d sequences, batched."""
    batch, length = q.shape[:2]
    rows = min(max(self.window - 1, ROWS), math.ceil(length / self.dilation))
    blocks = math.ceil(length / (rows * self.dilation))
    missing = blocks * rows * self.dilation - length

    def fold(x: jax.Array, fill: int = 0) -> Any:
      """Divide into d sequences of blocks: [B, T, ...] → [B, d, blocks, rows, ...]."""
      widths = [(0, 0), (0, missing)] + [(0, 0)] * (x.ndim - 2)
      x = jnp.pad(x, widths, constant_values=fill)
      shape = (batch, blocks, rows, self.dilation, *x.shape[2:])
      return jnp.moveaxis(x.reshape(shape), 3, 1)

    def with_neighbours(x: jax.Array, fill: int = 0) -> Any:
      """Join the rows of the previous block, and unless causal of the next one."""
      sides = [(1, 0)] if mask.causal else [(1, 0), (0, 1)]
      parts = []
      for before, after in sides:
        widths = [(0, 0)] * 2 + [(before, after)] + [(0, 0)] * (x.ndim - 3)
        padded = jnp.pad(x, widths, constant_values=fill)
        parts.append(padded[:, :, 1:] if after else padded[:, :, :-1])
      return jnp.concatenate([parts[0], x, *parts[1:]], axis=3)

    def join(x: jax.Array) -> jax.Array:
      return x.reshape(-1, *x.shape[3:])

    def queries(x: jax.Array | None) -> Any:
      return None if x is None else join(fold(x, -1))

    def context(x: jax.Array | None) -> Any:
      return None if x is None else join(with_neighbours(fold(x, -1), -1))

    near = Mask(
      queries(mask.query_positions),
      context(mask.context_positions),
      mask.causal,
      query_segments=queries(mask.query_segments),
      context_segments=context(mask.context_segments),
    )
    keys, values = join(with_neighbours(fold(k))), join(with_neighbours(fold(v)))
    y = self.dot_product(join(fold(q)), keys, values, near, window=self.reach + 1)
    y = y.reshape(batch, self.dilation, blocks * rows, *y.shape[2:])
    return jnp.moveaxis(y, 1, 2).reshape(batch, -1, *y.shape[3:])[:, :length]
