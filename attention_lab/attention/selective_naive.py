"""Selective attention as it is defined, pair by pair: the oracle of `selective` (no paper).

Not the selective attention of Leviathan et al., arXiv:2410.02703.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import Attention, register_attention
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import show_weights, softmax
from attention_lab.nn.linear import Linear
from attention_lab.position.base.position import bias_of


@register_attention("selective_naive")
@dataclasses.dataclass(kw_only=True)
class SelectiveNaive(Attention):
  """The definition of `selective`, computed pair by pair.

  Keys and values of all pairs lie in memory, [B, T, S, N, K]: to be compared with, not
  to train with. num_heads · key_size has to be d_model.

  Equation:
    y_i = Σ_j softmax_j(q_i·k_ij / √K) v_ij
    k_ij = W_k [q_i ; x_j],  v_ij = W_v [q_i ; x_j]
  """

  separates_documents: ClassVar[bool] = True

  def __call__(self, query: jax.Array, context: jax.Array, mask: Mask) -> jax.Array:
    size = self.num_heads * self.key_size
    if size != self.d_model:
      raise UserError(
        f"selective_naive needs num_heads · key_size = d_model, but {self.num_heads} · "
        f"{self.key_size} is not {self.d_model}."
      )
    q = Linear(size, False, self.w_init, "query")(query)
    pairs = jnp.concatenate(
      [
        jnp.broadcast_to(q[:, :, None], (*q.shape[:2], context.shape[1], size)),
        jnp.broadcast_to(context[:, None], (*q.shape[:2], *context.shape[1:])),
      ],
      axis=-1,
    )
    k = self._rotate_keys(self._heads("key", pairs), mask.context_positions)
    v = self._heads("value", pairs)
    q = self.position.rotate(
      q.reshape(*q.shape[:2], self.num_heads, self.key_size), mask.query_positions
    )
    scores = jnp.einsum("BTNK,BTSNK->BNTS", q, k) * self.score_scale
    positions = mask.query_positions, mask.context_positions
    bias = bias_of(self.position, *positions, self.num_heads, mask.causal)
    scores = scores if bias is None else scores + bias
    weights = show_weights(softmax(scores, mask.dense()))
    y = jnp.einsum("BNTS,BTSNK->BTNK", weights.astype(v.dtype), v)
    return y.reshape(*y.shape[:2], size)

  def _heads(self, name: str, pairs: jax.Array) -> jax.Array:
    """Apply a linear layer to pairs: [B, T, S, N·K + D] → [B, T, S, N, K]."""
    y = Linear(self.num_heads * self.key_size, False, self.w_init, name)(pairs)
    return y.reshape(*y.shape[:-1], self.num_heads, self.key_size)

  def _rotate_keys(self, k: jax.Array, positions: jax.Array) -> jax.Array:
    """Rotate the key of every pair at its token's position: [B, T, S, N, K], [B, S]."""
    repeated = jnp.repeat(positions, k.shape[1], axis=0)
    flat = k.reshape(-1, *k.shape[2:])
    return self.position.rotate_keys(flat, repeated).reshape(k.shape)
