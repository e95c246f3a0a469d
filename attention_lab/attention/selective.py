"""Selective attention: query-dependent keys and values, exact and fast (no paper).

The mechanism of an earlier system, at about the cost of standard attention. It is not the
selective attention of Leviathan et al., arXiv:2410.02703.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import append, register_attention
from attention_lab.attention.base.multi_head import (
  KVCache,
  MultiHead,
  remember,
  split_heads,
)
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.problem import is_constant
from attention_lab.nn.linear import Linear, matmul


class Query(NamedTuple):
  """A query's contribution to scores and values."""

  scores: jax.Array  # [B, T, N, K], or [B, T, N, 2K] under a rotation
  values: jax.Array  # [B, T, N, K]


class SelectiveCache(NamedTuple):
  """The tokens' part of keys and values, and with a rotation their rotations."""

  tokens: KVCache
  rotations: jax.Array | None  # [B, S, K]


@register_attention("selective")
@dataclasses.dataclass(kw_only=True)
class Selective(MultiHead):
  """Softmax attention with keys and values that depend on the query, at standard cost.

  The map of a concatenation is a sum, k_ij = A q_i + B x_j and v_ij = C q_i + D x_j, so
  that no array over pairs is needed:

  - The weights sum to one, so the values are C q_i plus the weighted mean of D x_j.
  - Without a rotation q_i · A q_i is the same for all j, and the softmax cancels it.
  - A rotation R turns the pairs (x_f, x_{f+K/2}). With u = R_i q_i and a = A q_i, the
    product u · R_j a is, summed over f, cos_jf (u_f a_f + u_f' a_f') +
    sin_jf (u_f' a_f - u_f a_f') with f' = f + K/2: a dot product of a vector of query i
    and (cos_j, sin_j). Keys widened by those make it part of the ordinary dot product.

  Equal to `selective_naive`, which computes the definition; their parameters are the
  same.

  Equation:
    y_i = Σ_j softmax_j(q_i·k_ij / √K) v_ij
    k_ij = W_k [q_i ; x_j],  v_ij = W_v [q_i ; x_j]
  """

  output_projection: bool = False  # Whether a linear layer follows the heads.

  turns_pairs: ClassVar[bool] = True

  def queries(self, x: jax.Array, positions: jax.Array) -> Query:
    """Return queries, rotated and widened, and what they add to the values."""
    q = Linear(self._width, self.bias, self.w_init, "query")(x)
    u = self.position.rotate(split_heads(q, self.key_size), positions)
    if self._rotated:
      a = self._of_query("key", q)
      (u1, u2), (a1, a2) = jnp.split(u, 2, axis=-1), jnp.split(a, 2, axis=-1)
      u = jnp.concatenate([u, u1 * a1 + u2 * a2, u2 * a1 - u1 * a2], axis=-1)
    return Query(u, self._of_query("value", q))

  def keys_values(
    self, x: jax.Array, positions: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Return the tokens' part, B x_j (rotated) and D x_j: twice [B, S, G, K]."""
    k = self.position.rotate_keys(self._of_token("key", x), positions)
    return k, self._of_token("value", x)

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Any:
    tokens = super().initial_state(batch_size, length, dtype)
    shape = (batch_size, length, self.key_size)
    return SelectiveCache(tokens, jnp.zeros(shape, dtype) if self._rotated else None)

  def extend(
    self, query: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[jax.Array, Any]:
    q = self.queries(query, positions)
    rotations = state.rotations
    if rotations is not None:
      rotations = append(rotations, self._rotations(positions), state.tokens.filled)
    tokens = remember(self, query, state.tokens, positions)
    mask = Mask(positions, tokens.positions, causal=True)
    y = self.read(q, tokens.keys, tokens.values, mask, rotations)
    return y, SelectiveCache(tokens, rotations)

  def read(
    self,
    q: Any,
    k: jax.Array,
    v: jax.Array,
    mask: Mask,
    rotations: jax.Array | None = None,
  ) -> jax.Array:
    heads = self.attend(q.scores, k, v, mask, rotations) + q.values
    return self.merge(heads.astype(q.values.dtype))

  def attend(
    self,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    mask: Mask,
    rotations: jax.Array | None = None,
  ) -> jax.Array:
    """Apply the formula; `rotations` are those of the context, if already computed."""
    if rotations is None and self._rotated:
      rotations = self._rotations(mask.context_positions)
    if rotations is None or is_constant(self._rotations, mask.context_positions):
      return self.dot_product(q, k, v, mask, rotations=rotations)
    # Learned rotations become part of the keys, so that they get a gradient.
    every = jnp.broadcast_to(rotations[:, :, None], k.shape).astype(k.dtype)
    return self.dot_product(q, jnp.concatenate([k, every], axis=-1), v, mask)

  @property
  def _rotated(self) -> bool:
    return not self.position.hooks.isdisjoint({"rotate", "rotate_keys"})

  @property
  def _width(self) -> int:
    return self.num_heads * self.key_size

  def _rotations(self, positions: jax.Array) -> jax.Array:
    """Return (cos_j, sin_j) [B, S, K]: the scheme applied to the pairs (1, 0)."""
    half = (*positions.shape, 1, self.key_size // 2)
    ones = jnp.concatenate([jnp.ones(half), jnp.zeros(half)], axis=-1)
    return self.position.rotate_keys(ones, positions)[:, :, 0]

  def _of_query(self, name: str, q: jax.Array) -> jax.Array:
    """Return A q or C q for every head: [B, T, N·K] → [B, T, N, K]."""
    w = self._pair_linear(name).weights(self._width + self.d_model, q.dtype)
    y = split_heads(matmul(q, w[: self._width]), self.key_size)
    return jnp.repeat(y, self.num_heads // self.kv_heads, axis=2)

  def _of_token(self, name: str, x: jax.Array) -> jax.Array:
    """Return B x or D x, plus the bias if there is one: [B, S, D] → [B, S, G, K]."""
    linear = self._pair_linear(name)
    w = linear.weights(self._width + self.d_model, x.dtype)
    return split_heads(linear.add_bias(matmul(x, w[self._width :])), self.key_size)

  def _pair_linear(self, name: str) -> Linear:
    return Linear(self.kv_heads * self.key_size, self.bias, self.w_init, name)
