"""Sliding-window attention: only the tokens close by (Beltagy et al., arXiv:2004.05150)."""

import dataclasses
from typing import ClassVar

import jax

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.recent import Recent
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask


@register_attention("sliding_window")
@dataclasses.dataclass(kw_only=True)
class SlidingWindow(Recent):
  """Softmax attention to the `window` tokens up to and with the query's own.

  Without causality the window has another half: `window - 1` tokens after the query.

  Equation:
    y_i = Σ_j softmax_j(q_i·k_j / √K) v_j
    0 ≤ i - j < window

  Departures:
    - Its cache evicts tokens by position, not by slot, so that padding evicts none.
    - Below 128 tokens, and on other devices than a CPU, it uses the plain formula.
  """

  window: int = 128  # Tokens a query sees, itself included.

  kinds: ClassVar[tuple[str, ...]] = ("causal", "bidirectional")
  linear_time: ClassVar[bool] = True

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    return self.dot_product(q, k, v, mask, window=self.reach + 1)

  def every_head(self, k: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    return k, v  # The kernel shares them among the heads.

  @property
  def reach(self) -> int:
    if self.window < 1:
      raise UserError(f"sliding_window(window={self.window}): take 1 or more tokens.")
    return self.window - 1
