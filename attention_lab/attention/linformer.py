"""Linformer: attention to a few learned sums of tokens (Wang et al., arXiv:2006.04768)."""

import dataclasses
from typing import Any, ClassVar, Literal

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.multi_head import MultiHead
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import products, softmax


@register_attention("linformer")
@dataclasses.dataclass(kw_only=True)
class Linformer(MultiHead):
  """Softmax attention to a few learned sums of the tokens.

  A sum of rotated keys is scored as the sum of the scores: q_i · Σ_j E_rj R(j - i) k_j,
  in which every pair's own distance acts. A bias of the scores could only be summed
  pair by pair, in quadratic time.

  Equation:
    y_i = Σ_r softmax_r(q_i·k̃_r / √K) ṽ_r
    k̃_r = Σ_j E_rj k_j,  ṽ_r = Σ_j F_rj v_j

  Departures:
    - The token at position p takes column p of E and F, so that shorter sequences use
      the first columns and padding in front changes nothing.
    - It supports a rotation of queries and keys.
  """

  rank: int = 32  # Rows that the length is projected to.
  # Who shares a projection: every head has its own E and F, all heads share both, or
  # keys and values share too (E = F).
  sharing: Literal["none", "headwise", "key_value"] = "headwise"

  honours: ClassVar[tuple[str, ...]] = ("rotate", "rotate_keys")
  kinds: ClassVar[tuple[str, ...]] = ("bidirectional", "cross")
  linear_time: ClassVar[bool] = True
  separates_documents: ClassVar[bool] = False
  relative: ClassVar[bool] = False  # A position has its own column.

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    mask.refuse_causal("linformer")
    real = (mask.context_positions >= 0)[:, :, None, None]
    k = self._projected(jnp.where(real, k, 0), "key", mask)
    v = self._projected(jnp.where(real, v, 0), "value", mask)
    scores = products(q, k) * self.score_scale
    weights = softmax(scores, jnp.ones((), bool))
    return jnp.einsum("BNTR,BRNV->BTNV", weights.astype(v.dtype), v)

  def _projected(self, x: jax.Array, name: str, mask: Mask) -> jax.Array:
    """Project the length: [B, S, N, K] → [B, R, N, K]."""
    length = self.position.max_length
    if x.shape[1] > length:
      raise UserError(
        f"The attention 'linformer' has learnt projections of {length} tokens, but is "
        f"given {x.shape[1]}. Lower the length."
      )
    matrix = self._matrix(name, x.dtype)
    axes = "SNR" if self.sharing == "none" else "SR"
    if mask.aligned:
      return jnp.einsum(f"{axes},BSNK->BRNK", matrix[: x.shape[1]], x)
    columns = matrix[jnp.clip(mask.context_positions, 0, length - 1)]
    return jnp.einsum(f"B{axes},BSNK->BRNK", columns, x)

  def _matrix(self, name: str, dtype: Any) -> jax.Array:
    """E or F, transposed: [length, R], or [length, N, R] where heads have their own.

    At the start, sums over all tokens are as large as one token.
    """
    if self.rank < 1:
      raise UserError(f"linformer(rank={self.rank}): take 1 or more.")
    length = self.position.max_length
    heads = (self.num_heads,) if self.sharing == "none" else ()
    name = "length" if self.sharing == "key_value" else f"{name}_length"
    init = hk.initializers.RandomNormal(length**-0.5)
    return hk.get_parameter(name, (length, *heads, self.rank), dtype, init=init)
