"""Projections, grouped heads, rotation, bias and KV cache, for attentions over heads."""

import abc
import dataclasses
from functools import partial
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import Attention, append
from attention_lab.errors import UserError
from attention_lab.kernel.choose import attend
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.problem import Bias, Problem, is_constant
from attention_lab.nn.linear import Linear
from attention_lab.position.base.position import drawn


class KVMemory(NamedTuple):
  """Keys (rotated) and values of another sequence."""

  keys: jax.Array  # [B, S, G, K]
  values: jax.Array  # [B, S, G, K]
  positions: jax.Array  # [B, S] int32; negative = padding


class KVCache(NamedTuple):
  """Keys (rotated) and values of the tokens seen so far."""

  keys: jax.Array  # [B, S, G, K]
  values: jax.Array  # [B, S, G, K]
  positions: jax.Array  # [B, S] int32; negative = not filled yet
  filled: jax.Array  # [] int32: slots in use


@dataclasses.dataclass(kw_only=True)
class MultiHead(Attention):
  """Multi-head attention up to its formula: a subclass writes `attend` (1706.03762).

  With fewer key-value heads than heads, groups of heads share keys and values: grouped
  (arXiv:2305.13245) or, with one, multi-query attention (arXiv:1911.02150).
  """

  num_kv_heads: int | None = None  # Heads of keys and values; None for num_heads.
  output_projection: bool = True  # Whether a linear layer follows the heads.
  bias: bool = False  # Whether the linear layers add a bias.

  @abc.abstractmethod
  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    """The formula: [B, T, N, K], [B, S, N, K], [B, S, N, K] → [B, T, N, K]."""

  def __call__(self, query: jax.Array, context: jax.Array, mask: Mask) -> jax.Array:
    q = self.queries(query, mask.query_positions)
    k, v = self.keys_values(context, mask.context_positions)
    return self.read(q, k, v, mask)

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> KVCache:
    shape = (batch_size, length, self.kv_heads, self.key_size)
    return KVCache(
      keys=jnp.zeros(shape, dtype),
      values=jnp.zeros(shape, dtype),
      positions=jnp.full(shape[:2], -1, jnp.int32),
      filled=jnp.zeros((), jnp.int32),
    )

  def extend(
    self, query: jax.Array, state: KVCache, positions: jax.Array
  ) -> tuple[jax.Array, KVCache]:
    q = self.queries(query, positions)
    state = self.remember(query, state, positions)
    mask = Mask(positions, state.positions, causal=True)
    return self.read(q, state.keys, state.values, mask), state

  @hk.name_like("__call__")
  def remember(self, x: jax.Array, state: KVCache, positions: jax.Array) -> KVCache:
    """The cache with the keys and values of new tokens [B, T, D]."""
    k, v = self.keys_values(x, positions)
    return KVCache(
      keys=append(state.keys, k, state.filled),
      values=append(state.values, v, state.filled),
      positions=append(state.positions, positions, state.filled),
      filled=state.filled + x.shape[1],
    )

  def memorise(self, context: jax.Array, positions: jax.Array) -> Any:
    if not self._plain:
      return super().memorise(context, positions)
    return KVMemory(*self.keys_values(context, positions), positions)

  def recall(self, query: jax.Array, positions: jax.Array, memory: Any) -> jax.Array:
    if not self._plain:
      return super().recall(query, positions, memory)
    mask = Mask(positions, memory.positions, causal=False)
    return self.read(self.queries(query, positions), memory.keys, memory.values, mask)

  @property
  def _plain(self) -> bool:
    """Whether a pass is made of `queries`, `keys_values` and `read` alone."""
    return type(self).__call__ is MultiHead.__call__

  @property
  def kv_heads(self) -> int:
    """How many heads keys and values have."""
    heads = self.num_heads if self.num_kv_heads is None else self.num_kv_heads
    if heads < 1 or self.num_heads % heads:
      divisors = [n for n in range(1, self.num_heads + 1) if self.num_heads % n == 0]
      raise UserError(
        f"num_kv_heads={heads} does not divide {self.num_heads} heads. "
        f"Take one of {', '.join(map(str, divisors))}."
      )
    return heads

  @hk.name_like("__call__")
  def queries(self, x: jax.Array, positions: jax.Array) -> Any:
    """Projected and rotated queries: [B, T, D], [B, T] → [B, T, N, K].

    A subclass whose queries bring more along overrides `read` as well.
    """
    return self.position.rotate(self._project(x, self.num_heads, "query"), positions)

  @hk.name_like("__call__")
  def keys_values(
    self, x: jax.Array, positions: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Keys (rotated) and values: [B, S, D], [B, S] → twice [B, S, G, K]."""
    k = self.position.rotate_keys(self._project(x, self.kv_heads, "key"), positions)
    return k, self._project(x, self.kv_heads, "value")

  def every_head(self, k: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gives every head its group's keys and values: [B, S, G, K] → [B, S, N, K]."""
    repeats = self.num_heads // self.kv_heads
    if repeats == 1:
      return k, v
    return jnp.repeat(k, repeats, axis=2), jnp.repeat(v, repeats, axis=2)

  def position_bias(self, mask: Mask) -> jax.Array | float:
    """What the positional scheme adds to the scores: [B, N, T, S], or 0."""
    bias = self._bias(mask.query_positions, mask.context_positions)
    return 0.0 if bias is None else bias

  def dot_product(
    self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask, **more: Any
  ) -> jax.Array:
    """softmax(Q Kᵀ / √K + position bias) V by the run's kernel: exact, and fast.

    Args:
      q: [B, T, N, K].
      k: [B, S, G, K]; with G below N, groups of heads share one.
      v: [B, S, G, V].
      mask: who may see whom.
      **more: further fields of `kernel.problem.Problem`, such as `window` or `dropout`.

    Returns:
      [B, T, N, V].
    """
    scale = self.key_size**-0.5
    problem = Problem(q, k, v, mask, scale, bias=self._kernel_bias(mask), **more)
    return attend(problem, self.kernel)

  def _kernel_bias(self, mask: Mask) -> Bias | jax.Array | None:
    """The scheme's bias as a function of positions alone, or else as an array.

    A kernel may call the function in a backward pass, when this transform is over, and
    the trace of parameters and draws with it: so it is a transform of its own.
    """
    first = (mask.query_positions[:, :1], mask.context_positions[:, :1])
    if self._bias(*first) is None:
      return None
    if drawn() is None and is_constant(self._bias, *first):
      return partial(hk.transform(self._bias).apply, {}, None)
    return self._bias(mask.query_positions, mask.context_positions)

  def _bias(self, query_positions: Any, context_positions: Any) -> jax.Array | None:
    return self.position.bias(query_positions, context_positions, self.num_heads)

  @hk.name_like("__call__")
  def merge(self, heads: jax.Array) -> jax.Array:
    """Joins the heads again: [B, T, N, K] → [B, T, D]."""
    x = heads.reshape(*heads.shape[:2], -1)
    if self.output_projection:
      return Linear(self.d_model, self.bias, self.output_init, "output")(x)
    if x.shape[-1] != self.d_model:
      raise UserError(
        f"output_projection=False needs num_heads · key_size = d_model, "
        f"but {self.num_heads} · {self.key_size} is not {self.d_model}."
      )
    return x

  @hk.name_like("__call__")
  def read(self, q: Any, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    """The formula with every head's own keys and values, its result joined.

    Args:
      q: what `queries` gave.
      k, v: what `keys_values` gave, or the cache of it.
      mask: who may see whom.

    Returns:
      [B, T, D].
    """
    heads = self.attend(q, *self.every_head(k, v), mask)
    return self.merge(heads.astype(q.dtype))  # Weights in float32 must not widen x.

  @hk.name_like("__call__")
  def _project(self, x: jax.Array, heads: int, name: str) -> jax.Array:
    return self.split(Linear(heads * self.key_size, self.bias, self.w_init, name)(x))

  def split(self, x: jax.Array) -> jax.Array:
    """[..., heads · K] → [..., heads, K]."""
    return x.reshape(*x.shape[:-1], -1, self.key_size)
