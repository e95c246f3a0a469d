"""Retention: a decay of its own for every head (Sun et al., arXiv:2307.08621)."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.recurrent import Memory, Recurrent, where_real
from attention_lab.kernel.decayed import decayed
from attention_lab.kernel.mask import Mask
from attention_lab.norm.layer_norm import LayerNorm


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
    - Values are as wide as keys.
  """

  separates_documents: ClassVar[bool] = True

  def advance(
    self, query: jax.Array, context: jax.Array, mask: Mask, state: Any
  ) -> tuple[jax.Array, Any]:
    q = self.position.rotate(self.project(query, "query"), mask.query_positions)
    k = self.position.rotate_keys(self.project(context, "key"), mask.context_positions)
    k = where_real(mask.context_positions, k * self.key_size**-0.5)
    v = self.project(context, "value")
    log_decay = jnp.log1p(-(2.0 ** (-5 - jnp.arange(self.num_heads))))  # log γ
    log_decay = jnp.broadcast_to(log_decay, (*context.shape[:2], self.num_heads))
    log_decay = where_real(mask.context_positions, log_decay)
    heads, memory = decayed(q, k, v, log_decay, state.memory, self.chunk, mask.starts)
    return heads, Memory(memory)

  def finish(self, heads: jax.Array, query: jax.Array) -> jax.Array:
    gate = jax.nn.silu(self.project(query, "gate"))
    heads = LayerNorm(offset=True, name="norm")(heads)
    return self.output(gate * heads.astype(query.dtype))
