"""Selective attention of Leviathan et al. (arXiv:2410.02703): tokens mask others."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.multi_head import KVCache, remember
from attention_lab.attention.base.weighted import Weighted
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import show_weights


class SelectionCache(NamedTuple):
  """Keys and values, and the cumulative masking of each token."""

  tokens: KVCache
  hidden: jax.Array  # [B, S], float32 or wider


@register_attention("leviathan_selective")
@dataclasses.dataclass(kw_only=True)
class LeviathanSelective(Weighted):
  """Softmax attention in which the first head's scores mask tokens for later queries.

  The masking F acts in every head n. No token masks itself or the token at position 0.
  Queries are in the order of their positions.

  Equation:
    y_{n,i} = Σ_j softmax_j(a_{n,ij} - F_ij) v_{n,j}
    F_ij = Σ_{l<i} relu(a_{0,lj}),  a_{n,ij} = q_{n,i}·k_{n,j} / √K

  Departures:
    - The decode state keeps the accumulated masking.
    - It was written from the paper's equations as remembered; the paper's own code was
      not at hand.
  """

  kinds: ClassVar[tuple[str, ...]] = ("causal",)
  relative: ClassVar[bool] = False  # The token at position 0 is never masked.

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    nothing = jnp.zeros(
      (k.shape[0], k.shape[1]), jnp.promote_types(q.dtype, jnp.float32)
    )
    return self._select(q, k, v, mask, nothing)[0]

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Any:
    hidden = jnp.zeros((batch_size, length), jnp.promote_types(dtype, jnp.float32))
    return SelectionCache(super().initial_state(batch_size, length, dtype), hidden)

  def extend(
    self, query: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[jax.Array, Any]:
    q = self.queries(query, positions)
    tokens = remember(self, query, state.tokens, positions)
    mask = Mask(positions, tokens.positions, causal=True)
    k, v = self.every_head(tokens.keys, tokens.values)
    heads, hidden = self._select(q, k, v, mask, state.hidden)
    return self.merge(heads.astype(q.dtype)), SelectionCache(tokens, hidden)

  def _select(
    self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask, hidden: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Attend with the masking [B, S] of earlier queries; return it with the new masking.

    Returns:
      [B, T, N, K] and [B, S].
    """
    scores, allowed = self.scores(q, k, mask), mask.dense()
    query_at = mask.query_positions[:, :, None]
    context_at = mask.context_positions[:, None, :]
    may_hide = allowed[:, 0] & (context_at > 0) & (context_at != query_at)
    selection = jnp.where(may_hide, jax.nn.relu(scores[:, 0]), 0)  # [B, T, S]
    after = hidden[:, None] + jnp.cumsum(selection, axis=1)
    before = jnp.concatenate([hidden[:, None], after[:, :-1]], axis=1)
    weights = show_weights(self.weights(scores - before[:, None], allowed))
    return self.read_out(weights, v), after[:, -1]
