"""Forgetting attention: a gate for each head and token (Lin et al., arXiv:2503.02130)."""

import dataclasses
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import append, register_attention
from attention_lab.attention.base.multi_head import KVCache, split_heads, stored
from attention_lab.attention.base.recurrent import HeadNorm
from attention_lab.attention.base.short_convolution import tokens_before
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
  recent: jax.Array  # [B, 1, 2 G K], the last token's keys and values; basic: [B, 0, …]


@register_attention("forgetting")
@dataclasses.dataclass(kw_only=True)
class Forgetting(Weighted):
  """Softmax attention with a forget gate f for each head and token.

  With c_i = Σ_{l≤i} log f_l, D_ij = c_i - c_j. Padding does not forget.

  `block=pro` is the block of the paper's main models. There keys are
  norm(a_i W_K x_{i-1} + (1 - a_i) W_K x_i) with a_i = σ(w_a·x_i) for each head, values
  the same without a norm and with a share of their own, queries norm(W_Q x_i), and the
  output is W_O (norm(y_i) ∘ σ(W_G x_i)). A norm divides each head by its root mean square.

  Equation:
    y_i = Σ_j softmax_j(q_i·k_j / √K + D_ij) v_j
    D_ij = Σ_{l=j+1}^i log f_l,  f_l = σ(w·x_l + b)

  Departures:
    - Only -c_j is added to the scores: c_i is the same for all j, and the softmax
      cancels it.
    - The default is the block around standard attention, as in the paper's LLaMA models.
    - The heads share the scales of each norm.
  """

  block: Literal["basic", "pro"] = "basic"  # What is around the formula.

  default_position: ClassVar[str] = "none"
  kinds: ClassVar[tuple[str, ...]] = ("causal",)

  def __call__(self, query: jax.Array, context: jax.Array, mask: Mask) -> jax.Array:
    q = self.queries(query, mask.query_positions)
    recent = self._no_tokens(len(context), context.dtype)
    k, v, _ = self._keys_values(context, recent, mask)
    log_gates = self._log_gates(context, mask.context_positions)
    if mask.starts is None:
      forgotten = jnp.cumsum(log_gates, axis=2)
    else:
      forgotten = cumulate(jnp.add, log_gates, mask.starts[:, None], axis=2)
    return self._read(query, q, k, v, mask, forgotten)

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Any:
    shape = (batch_size, self.num_heads, length)
    forgotten = jnp.zeros(shape, jnp.promote_types(dtype, jnp.float32))
    tokens = super().initial_state(batch_size, length, dtype)
    recent = self._no_tokens(batch_size, dtype)
    return ForgettingCache(tokens, forgotten, forgotten[:, :, 0], recent)

  def extend(
    self, query: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[jax.Array, Any]:
    q = self.queries(query, positions)
    own = Mask(positions, positions, causal=True)
    k, v, recent = self._keys_values(query, state.recent, own)
    tokens = stored(state.tokens, k, v, positions)
    new = jnp.cumsum(self._log_gates(query, positions), axis=2)
    new += state.total[:, :, None]
    forgotten = append(state.forgotten.mT, new.mT, state.tokens.filled).mT
    mask = Mask(positions, tokens.positions, causal=True)
    y = self._read(query, q, tokens.keys, tokens.values, mask, forgotten)
    return y, ForgettingCache(tokens, forgotten, new[:, :, -1], recent)

  def queries(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    q = self.project(x, self.num_heads, "query")
    if self.block == "pro":
      q = HeadNorm(name="query_norm")(q).astype(x.dtype)
    return self.position.rotate(q, positions)

  def _no_tokens(self, batch_size: int, dtype: Any) -> jax.Array:
    """Return the keys and values before the first token."""
    before = 1 if self.block == "pro" else 0
    return jnp.zeros((batch_size, before, 2 * self.kv_heads * self.key_size), dtype)

  def _keys_values(
    self, x: jax.Array, recent: jax.Array, mask: Mask
  ) -> tuple[jax.Array, ...]:
    """Return keys (rotated) and values [B, T, G, K], and what the next token needs."""
    parts = [self.project(x, self.kv_heads, name) for name in ("key", "value")]
    if self.block == "pro":
      both = jnp.concatenate(parts, axis=2)  # [B, T, 2 G, K]
      (_, before), recent = tokens_before(both.reshape(*x.shape[:2], -1), recent, mask)
      shares = [
        Linear(self.kv_heads, False, self.w_init, name)(x)
        for name in ("key_shift", "value_shift")
      ]
      share = jax.nn.sigmoid(jnp.concatenate(shares, axis=-1))[..., None]
      both = share * split_heads(before, self.key_size) + (1 - share) * both
      k, v = jnp.split(both, 2, axis=2)
      parts = [HeadNorm(name="key_norm")(k).astype(x.dtype), v]
    k, v = parts
    return self.position.rotate_keys(k, mask.context_positions), v, recent

  def _read(
    self,
    x: jax.Array,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    mask: Mask,
    forgotten: jax.Array,
  ) -> jax.Array:
    k, v = self.every_head(k, v)
    scores = self.scores(q, k, mask) - forgotten[:, :, None]
    weights = show_weights(self.weights(scores, mask.dense()))
    y = self.read_out(weights, v)
    if self.block == "pro":
      y = HeadNorm(name="norm")(y)
      y *= jax.nn.sigmoid(self.project(x, self.num_heads, "gate"))
    return self.merge(y.astype(q.dtype))

  def _log_gates(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Return log f <= 0: [B, S, D], [B, S] → [B, N, S], float32 or wider."""
    gates = Linear(self.num_heads, True, self.w_init, "forget")(x).mT
    wide = gates.astype(jnp.promote_types(gates.dtype, jnp.float32))
    return jnp.where(positions[:, None] >= 0, jax.nn.log_sigmoid(wide), 0)
