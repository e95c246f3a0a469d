"""Forgetting attention: a gate for each head and token (Lin et al., arXiv:2503.02130)."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import append, register_attention
from attention_lab.attention.base.multi_head import KVCache, remember
from attention_lab.attention.base.weighted import Weighted
from attention_lab.kernel.documents import cumulate
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import show_weights
from attention_lab.nn.linear import Linear


class ForgettingCache(NamedTuple):
  """Keys and values, and the cumulative forgetting at each token."""

  tokens: KVCache
  forgotten: jax.Array  # [B, N, S], float32 or wider
  total: jax.Array  # [B, N], including the last token


@register_attention("forgetting")
@dataclasses.dataclass(kw_only=True)
class Forgetting(Weighted):
  """Softmax attention with a forget gate f for each head and token.

  With c_i = Σ_{l≤i} log f_l, D_ij = c_i - c_j. Padding does not forget.

  Equation:
    y_i = Σ_j softmax_j(q_i·k_j / √K + D_ij) v_j
    D_ij = Σ_{l=j+1}^i log f_l,  f_l = σ(w·x_l + b)

  Departures:
    - Only -c_j is added to the scores: c_i is the same for all j, and the softmax
      cancels it.
  """

  kinds: ClassVar[tuple[str, ...]] = ("causal",)

  def __call__(self, query: jax.Array, context: jax.Array, mask: Mask) -> jax.Array:
    q = self.queries(query, mask.query_positions)
    k, v = self.keys_values(context, mask.context_positions)
    log_gates = self._log_gates(context, mask.context_positions)
    if mask.starts is None:
      forgotten = jnp.cumsum(log_gates, axis=2)
    else:
      forgotten = cumulate(jnp.add, log_gates, mask.starts[:, None], axis=2)
    return self._read(q, k, v, mask, forgotten)

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Any:
    shape = (batch_size, self.num_heads, length)
    forgotten = jnp.zeros(shape, jnp.promote_types(dtype, jnp.float32))
    tokens = super().initial_state(batch_size, length, dtype)
    return ForgettingCache(tokens, forgotten, forgotten[:, :, 0])

  def extend(
    self, query: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[jax.Array, Any]:
    q = self.queries(query, positions)
    tokens = remember(self, query, state.tokens, positions)
    new = jnp.cumsum(self._log_gates(query, positions), axis=2)
    new += state.total[:, :, None]
    forgotten = append(state.forgotten.mT, new.mT, state.tokens.filled).mT
    mask = Mask(positions, tokens.positions, causal=True)
    y = self._read(q, tokens.keys, tokens.values, mask, forgotten)
    return y, ForgettingCache(tokens, forgotten, new[:, :, -1])

  def _read(
    self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask, forgotten: jax.Array
  ) -> jax.Array:
    k, v = self.every_head(k, v)
    scores = self.scores(q, k, mask) - forgotten[:, :, None]
    weights = show_weights(self.weights(scores, mask.dense()))
    return self.merge(self.read_out(weights, v).astype(q.dtype))

  def _log_gates(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Return log f <= 0: [B, S, D], [B, S] → [B, N, S], float32 or wider."""
    gates = Linear(self.num_heads, True, self.w_init, "forget")(x).mT
    wide = gates.astype(jnp.promote_types(gates.dtype, jnp.float32))
    return jnp.where(positions[:, None] >= 0, jax.nn.log_sigmoid(wide), 0)
