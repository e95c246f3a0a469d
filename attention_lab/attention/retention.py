"""Retention: a decay of its own for every head (Sun et al., arXiv:2307.08621)."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.recurrent import (
  Recurrent,
  where_real,
  wide,
)
from attention_lab.attention.base.widths import expanded
from attention_lab.kernel.decayed import decayed
from attention_lab.kernel.mask import Mask
from attention_lab.norm.layer_norm import LayerNorm

TINY = 1e-20  # Added to squared lengths: those of an empty state are 0.


class Retained(NamedTuple):
  """The decode state."""

  memory: jax.Array  # [B, N, K, V], float32 at least
  square: jax.Array  # [B, N, 1, 1]: sum of γ^{2(t-j)} |k_j|² |v_j|², for the norm


@register_attention("retention")
@dataclasses.dataclass(kw_only=True)
class Retention(Recurrent):
  """Linear attention with a fixed decay γ for each head n.

  The norm is each head's own. The paper's rotation of queries and keys is the
  positional scheme's: `--position=rope`.

  Equation:
    S_t = γ_n S_{t-1} + k_t v_tᵀ / √K,  y_t = q_tᵀ S_t
    γ_n = 1 - 2^{-5-n}
    o_t = (swish(x_t W_G) ∘ norm(y_t)) W_O

  Departures:
    - Values are as wide as keys; `expand_values=2` is the paper's.
    - The norm's ε is relative to |q_t|² Σ_j γ_n^{2(t-j)} |k_j|² |v_j|² / (K V). So the
      scale of the state cancels, as the paper says of its norm, at the first tokens too,
      whose state is small. `relative_epsilon=False` adds the same ε at every scale.
  """

  separates_documents: ClassVar[bool] = True

  expand_values: int = 1  # V / K, the width of values by that of keys.
  relative_epsilon: bool = True  # Whether the norm's ε is relative to the state.

  @property
  def value_width(self) -> int:
    return expanded(self.key_size, self.expand_values, "retention")

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Retained:
    memory = super().initial_state(batch_size, length, dtype).memory
    return Retained(memory, jnp.zeros_like(memory[..., :1, :1]))

  def advance(
    self, query: jax.Array, context: jax.Array, mask: Mask, state: Any
  ) -> tuple[jax.Array, Any]:
    q = self.position.rotate(self.project(query, "query"), mask.query_positions)
    k = self.position.rotate_keys(self.project(context, "key"), mask.context_positions)
    k = where_real(mask.context_positions, k * self.key_size**-0.5)
    v = self.project(context, "value", self.value_width)
    log_decay = jnp.log1p(-(2.0 ** (-5 - jnp.arange(self.num_heads))))  # log γ
    log_decay = jnp.broadcast_to(log_decay, (*context.shape[:2], self.num_heads))
    log_decay = where_real(mask.context_positions, log_decay)
    heads, memory = decayed(q, k, v, log_decay, state.memory, self.chunk, mask.starts)
    if not self.relative_epsilon:
      return heads, Retained(memory, state.square)
    written, one = _square(k) * _square(v), jnp.ones_like(heads[..., :1])
    square, squares = decayed(
      one, one, written, 2 * log_decay, state.square, self.chunk, mask.starts
    )
    heads *= jax.lax.rsqrt(_square(q) + TINY)
    heads *= jax.lax.rsqrt(square / self.value_width + TINY)
    return heads, Retained(memory, squares)

  def finish(self, heads: jax.Array, query: jax.Array) -> jax.Array:
    gate = jax.nn.silu(self.project(query, "gate", self.value_width))
    heads = LayerNorm(offset=True, name="norm")(heads)
    return self.output(gate * heads.astype(query.dtype))


def _square(x: jax.Array) -> jax.Array:
  """Return |x|² over the last axis: [..., K] → [..., 1], float32 at least."""
  x = x.astype(wide(x.dtype))
  return (x * x).sum(axis=-1, keepdims=True)
