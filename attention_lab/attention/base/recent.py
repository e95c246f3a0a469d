"""A decode state of one size: the last tokens' keys and values (arXiv:2004.05150)."""

import abc
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from attention_lab.attention.base.multi_head import MultiHead
from attention_lab.kernel.mask import Mask


class RecentCache(NamedTuple):
  """Keys (rotated) and values of the last R tokens, padding and empty slots in front."""

  keys: jax.Array  # [B, R, G, K]
  values: jax.Array  # [B, R, G, K]
  positions: jax.Array  # [B, R] int32; negative for empty slots


class Recent(MultiHead):
  """An attention over heads whose queries see no token farther back than `reach`."""

  constant_state: ClassVar[bool] = True

  @property
  @abc.abstractmethod
  def reach(self) -> int:
    """Number of previous tokens that a query attends to; 0 for itself only."""

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Any:
    shape = (batch_size, min(length, self.reach), self.kv_heads, self.key_size)
    return RecentCache(
      keys=jnp.zeros(shape, dtype),
      values=jnp.zeros(shape, dtype),
      positions=jnp.full(shape[:2], -1, jnp.int32),
    )

  def extend(
    self, query: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[jax.Array, Any]:
    q = self.queries(query, positions)
    k, v = self.keys_values(query, positions)
    seen = RecentCache(
      keys=jnp.concatenate([state.keys, k.astype(state.keys.dtype)], axis=1),
      values=jnp.concatenate([state.values, v.astype(state.values.dtype)], axis=1),
      positions=jnp.concatenate([state.positions, positions], axis=1),
    )
    mask = Mask(positions, seen.positions, causal=True)
    y = self.read(q, seen.keys, seen.values, mask)
    # By position and not by slot: padding among the tokens pushes none of them out.
    order = jnp.argsort(seen.positions, axis=1)[:, query.shape[1] :]
    return y, jax.tree.map(lambda x: _rows(x, order), seen)


def _rows(x: jax.Array, order: jax.Array) -> jax.Array:
  """Return the rows of x [B, S, ...] at indices [B, R]: [B, R, ...]."""
  return jax.vmap(lambda row, at: row[at])(x, order)
