"""Multi-head attention up to its formula: projections, grouped heads, rotation, cache."""

import abc
import dataclasses
from functools import partial
from typing import Any, ClassVar, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import Attention, append
from attention_lab.errors import UserError
from attention_lab.kernel.choose import attend
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.problem import Bias, Problem, is_constant
from attention_lab.nn.linear import Linear
from attention_lab.position.base.position import Position, bias_of, current_sample


class KVMemory(NamedTuple):
  """Keys (rotated) and values of another sequence."""

  keys: jax.Array  # [B, S, G, K]
  values: jax.Array  # [B, S, G, K]
  positions: jax.Array  # [B, S] int32; negative for padding


class KVCache(NamedTuple):
  """Keys (rotated) and values of the previous tokens."""

  keys: jax.Array  # [B, S, G, K]
  values: jax.Array  # [B, S, G, K]
  positions: jax.Array  # [B, S] int32; negative for empty slots
  filled: jax.Array  # [] int32: slots in use


@dataclasses.dataclass(kw_only=True)
class MultiHead(Attention):
  """Multi-head attention up to its formula (arXiv:1706.03762): a subclass writes `attend`.

  With fewer key-value heads than heads, groups of heads share keys and values:
  grouped-query attention (arXiv:2305.13245) or, with one, multi-query attention
  (arXiv:1911.02150).
  """

  separates_documents: ClassVar[bool] = True

  num_kv_heads: int | None = None  # Heads of keys and values; None for num_heads.
  output_projection: bool = True  # Whether a linear layer follows the heads.
  bias: bool = False  # Whether the linear layers add a bias.

  @abc.abstractmethod
  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    """Apply the formula: [B, T, N, K], [B, S, N, K], [B, S, N, K] → [B, T, N, K]."""

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
    state = remember(self, query, state, positions)
    mask = self.decode_mask(positions, state.positions)
    return self.read(q, state.keys, state.values, mask), state

  def memorise(self, context: jax.Array, positions: jax.Array) -> Any:
    if not _has_default_pass(self):
      return super().memorise(context, positions)
    return KVMemory(*self.keys_values(context, positions), positions)

  def recall(self, query: jax.Array, positions: jax.Array, memory: Any) -> jax.Array:
    if not _has_default_pass(self):
      return super().recall(query, positions, memory)
    mask = Mask(positions, memory.positions, causal=False)
    return self.read(self.queries(query, positions), memory.keys, memory.values, mask)

  @property
  def kv_heads(self) -> int:
    """Number of heads of keys and values."""
    heads = self.query_heads if self.num_kv_heads is None else self.num_kv_heads
    if heads < 1 or self.query_heads % heads:
      every = range(1, self.query_heads + 1)
      divisors = [n for n in every if self.query_heads % n == 0]
      raise UserError(
        f"num_kv_heads={heads} does not divide {self.query_heads} heads. "
        f"Take one of {', '.join(map(str, divisors))}."
      )
    return heads

  def queries(self, x: jax.Array, positions: jax.Array) -> Any:
    """Return projected and rotated queries: [B, T, D], [B, T] → [B, T, N, K].

    A subclass that returns another structure overrides `read` as well.
    """
    return self.position.rotate(self.project(x, self.num_heads, "query"), positions)

  def keys_values(
    self, x: jax.Array, positions: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Return keys (rotated) and values: [B, S, D], [B, S] → twice [B, S, G, K]."""
    k = self.position.rotate_keys(self.project(x, self.kv_heads, "key"), positions)
    return k, self.project(x, self.kv_heads, "value")

  def every_head(self, k: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Repeat keys and values for every head: [B, S, G, K] → [B, S, N, K]."""
    repeats = self.query_heads // self.kv_heads
    if repeats == 1:
      return k, v
    return jnp.repeat(k, repeats, axis=2), jnp.repeat(v, repeats, axis=2)

  def position_bias(self, mask: Mask) -> jax.Array | float:
    """Return what the positional scheme adds to the scores: [B, N, T, S], or 0."""
    positions = mask.query_positions, mask.context_positions
    bias = bias_of(self.position, *positions, self.query_heads, mask.one_sided)
    return 0.0 if bias is None else bias

  def dot_product(
    self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask, **more: Any
  ) -> jax.Array:
    """Compute softmax(Q Kᵀ / √K + position bias) V exactly, with the run's kernel.

    Args:
      q: [B, T, N, K].
      k: [B, S, G, K]; with G < N, groups of heads share keys and values.
      v: [B, S, G, V].
      mask: which query may attend to which context token.
      **more: further fields of `kernel.problem.Problem`, such as `window` or `dropout`.

    Returns:
      [B, T, N, V].
    """
    bias = _kernel_bias(self.position, self.query_heads, mask)
    problem = Problem(q, k, v, mask, self.score_scale, bias=bias, **more)
    return attend(problem, self.kernel)

  def merge(self, heads: jax.Array) -> jax.Array:
    """Concatenate the heads and project them: [B, T, N, K] → [B, T, D]."""
    x = heads.reshape(*heads.shape[:2], -1)
    if self.output_projection:
      return Linear(self.d_model, self.bias, self.output_init, "output")(x)
    if x.shape[-1] != self.d_model:
      raise UserError(
        f"output_projection=False needs num_heads · key_size = d_model, "
        f"but {self.num_heads} · {self.key_size} is not {self.d_model}."
      )
    return x

  def read(self, q: Any, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    """Apply the formula to every head, and merge the heads.

    Args:
      q: the result of `queries`.
      k, v: the result of `keys_values`, or its cache.
      mask: which query may attend to which context token.

    Returns:
      [B, T, D].
    """
    heads = self.attend(q, *self.every_head(k, v), mask)
    return self.merge(heads.astype(q.dtype))  # Weights in float32 must not widen x.

  def project(self, x: jax.Array, heads: int, name: str) -> jax.Array:
    """Apply a linear layer: [B, T, D] → [B, T, heads, K]."""
    linear = Linear(heads * self.key_size, self.bias, self.w_init, name)
    return split_heads(linear(x), self.key_size)


def remember(
  attention: MultiHead, x: jax.Array, state: KVCache, positions: jax.Array
) -> KVCache:
  """Return the cache with the keys and values of new tokens [B, T, D]."""
  return stored(state, *attention.keys_values(x, positions), positions)


def stored(state: KVCache, k: jax.Array, v: jax.Array, positions: jax.Array) -> KVCache:
  """Return the cache with more keys and values [B, T, G, K], at positions [B, T]."""
  return KVCache(
    keys=append(state.keys, k, state.filled),
    values=append(state.values, v, state.filled),
    positions=append(state.positions, positions, state.filled),
    filled=state.filled + k.shape[1],
  )


def split_heads(x: jax.Array, size: int) -> jax.Array:
  """Split the last axis into heads: [..., heads · size] → [..., heads, size]."""
  return x.reshape(*x.shape[:-1], -1, size)


def _has_default_pass(attention: MultiHead) -> bool:
  """Return whether a pass consists of `queries`, `keys_values` and `read` only."""
  return type(attention).__call__ is MultiHead.__call__


def _kernel_bias(
  position: Position, num_heads: int, mask: Mask
) -> Bias | jax.Array | None:
  """Return the scheme's bias as a function of positions, or else as an array.

  A kernel may call the function in a backward pass, after this transform has ended. So
  the function is a transform of its own, without parameters or random numbers.
  """

  def bias(query_positions: Any, context_positions: Any) -> jax.Array | None:
    sides = query_positions, context_positions
    return bias_of(position, *sides, num_heads, mask.one_sided)

  first = (mask.query_positions[:, :1], mask.context_positions[:, :1])
  if bias(*first) is None:
    return None
  constant = is_constant(bias, *first) and not _has_parameters(bias, *first)
  if current_sample() is None and constant:
    return partial(hk.transform(bias).apply, {}, None)
  return bias(mask.query_positions, mask.context_positions)


def _has_parameters(function: Any, *arguments: Any) -> bool:
  """Return whether a function uses parameters, which may be no tracers."""
  init = hk.transform(function).init
  return bool(jax.eval_shape(init, jax.random.key(0), *arguments))
