"""Base of linear attentions: a state of constant size, updated per token (no paper).

A pass is the kernel applied to the empty state, and decoding the same kernel applied to the
previous state, so that both agree by construction.
"""

import abc
import dataclasses
from functools import partial
from typing import Any, ClassVar, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import KINDS, SAME_RESULT, Attention
from attention_lab.errors import UserError
from attention_lab.kernel.decayed import decayed
from attention_lab.kernel.documents import ends_of
from attention_lab.kernel.mask import Mask
from attention_lab.nn.linear import Linear

# Added to the sum of the weights: a fully masked query gets 0, and in float32 the
# gradient's division by its square does not overflow.
EPSILON = 1e-16
# Tokens of a causal pass that are projected and read at once: what a longer one makes in
# between stays in the cache, and memory for temporaries does not grow with it.
SEGMENT = 2048


class Memory(NamedTuple):
  """Decode state: the sum of what the tokens wrote."""

  memory: jax.Array  # [B, N, K, V], float32 at least


@dataclasses.dataclass(kw_only=True)
class Recurrent(Attention):
  """Reads tokens in their order; a subclass writes `advance`, and `finish` if it gates.

  A causal pass takes query and context for the same tokens, whose positions rise along the
  row. Padding writes nothing and lets nothing decay. Where `mask.starts` is not None, a
  token that begins a document finds the state empty: the kernels take it as `starts`. All
  arrays of a state have the batch as first axis.
  """

  # Tokens that are read at once.
  chunk: int = dataclasses.field(default=64, metadata=SAME_RESULT)

  honours: ClassVar[tuple[str, ...]] = ("rotate", "rotate_keys")
  kinds: ClassVar[tuple[str, ...]] = ("causal",)
  linear_time: ClassVar[bool] = True
  constant_state: ClassVar[bool] = True

  def __call__(self, query: jax.Array, context: jax.Array, mask: Mask) -> jax.Array:
    if self.chunk < 1:
      raise UserError(f"chunk={self.chunk} is no number of tokens. Take 1 or more.")
    if not mask.causal and "bidirectional" not in self.kinds:
      raise ValueError(f"{type(self).__name__} is causal; the mask is not.")
    if mask.causal and query.shape[1] != context.shape[1]:
      raise ValueError(
        "A causal recurrence needs the same tokens as query and context, "
        f"not {query.shape[1]} and {context.shape[1]} of them."
      )
    state = self.initial_state(query.shape[0], context.shape[1], query.dtype)
    if mask.causal and query.shape[1] > SEGMENT:
      return self._by_segments(query, context, mask, state)
    heads, _ = self.advance(query, context, mask, state)
    return self.finish(heads, query)

  def _by_segments(
    self, query: jax.Array, context: jax.Array, mask: Mask, state: Any
  ) -> jax.Array:
    """Compute a causal pass in segments, which pass the state on.

    The gradient recomputes the intermediates of a segment instead of storing them.
    """
    length = query.shape[1]
    count = -(-length // SEGMENT)
    # Whole chunks, alike in size.
    size = -(-length // (count * self.chunk)) * self.chunk
    vectors = [_segments(x, count, size, 0) for x in (query, context)]
    masks = jax.tree.map(lambda x: _segments(x, count, size, -1), mask)
    begins = None
    if (
      mask.starts is not None
    ):  # Whether the first token of a segment begins a document.
      begins = _segments(mask.starts, count, size, 0)[:, :, 0]
    empty = state

    def read(state: Any, segment: Any) -> tuple[Any, jax.Array]:
      (query, context), own_mask, begins = segment
      if begins is not None:
        state = jax.tree.map(partial(_where_row, begins), empty, state)
      heads, state = self.advance(query, context, own_mask, state)
      return state, self.finish(heads, query)

    _, y = hk.scan(hk.remat(read), state, (vectors, masks, begins))
    return jnp.moveaxis(y, 0, 1).reshape(len(query), -1, self.d_model)[:, :length]

  def extend(
    self, query: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[jax.Array, Any]:
    mask = Mask(positions, positions, causal=True)
    heads, state = self.advance(query, query, mask, state)
    return self.finish(heads, query), state

  def memorise(self, context: jax.Array, positions: jax.Array) -> Any:
    padding, mask = _one_padded(context)
    state = self.initial_state(len(context), context.shape[1], context.dtype)
    mask = Mask(mask.query_positions, positions, causal=False)
    return self.advance(padding, context, mask, state)[1]

  def recall(self, query: jax.Array, positions: jax.Array, memory: Any) -> jax.Array:
    padding, mask = _one_padded(query)
    mask = Mask(positions, mask.context_positions, causal=False)
    heads, _ = self.advance(query, padding, mask, memory)
    return self.finish(heads, query)

  @abc.abstractmethod
  def advance(
    self, query: jax.Array, context: jax.Array, mask: Mask, state: Any
  ) -> tuple[jax.Array, Any]:
    """Map [B, T, D], [B, S, D] and the state to [B, T, N, V] and the next state.

    A long pass is computed in segments, whose positions continue those of the previous
    one. So `mask.aligned` only means that there is no padding before a token.
    """

  def finish(self, heads: jax.Array, query: jax.Array) -> jax.Array:
    """Merge the heads: [B, T, N, V], [B, T, D] → [B, T, D]."""
    return self.output(heads.astype(query.dtype))

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Any:
    del length
    shape = (batch_size, self.num_heads, self.key_width, self.value_width)
    return Memory(jnp.zeros(shape, wide(dtype)))

  @property
  def key_width(self) -> int:
    """Entries of a head's keys in the memory: K, unless a subclass says otherwise."""
    return self.key_size

  @property
  def value_width(self) -> int:
    """Entries of a head's values in the memory: V = K, unless a subclass says otherwise."""
    return self.key_size

  def project(self, x: jax.Array, name: str, size: int | None = None) -> jax.Array:
    """Apply a linear layer per head: [B, T, D] → [B, T, N, size], by default K."""
    size = self.key_size if size is None else size
    y = Linear(self.num_heads * size, False, self.w_init, name)(x)
    return y.reshape(*x.shape[:-1], self.num_heads, size)

  def output(self, heads: jax.Array) -> jax.Array:
    """Apply the output projection: [B, T, N, V] → [B, T, D]."""
    x = heads.reshape(*heads.shape[:2], -1)
    return Linear(self.d_model, False, self.output_init, "output")(x)


class Sums(NamedTuple):
  """The decode state of a weighted mean."""

  values: jax.Array  # [B, N, F, V]: sum of φ(k) vᵀ, float32 at least
  weights: jax.Array  # [B, N, F, 1]: sum of φ(k)


@dataclasses.dataclass(kw_only=True)
class Normalised(Recurrent):
  """sum_j φ(q_i)·ψ(k_j) v_j / sum_j φ(q_i)·ψ(k_j): softmax's kernel made a dot product.

  A subclass writes the features φ and ψ. Sums need no order, so it can be bidirectional.
  """

  kinds: ClassVar[tuple[str, ...]] = KINDS
  separates_documents: ClassVar[bool] = True

  @property
  @abc.abstractmethod
  def feature_size(self) -> int:
    """F, how many features a head has."""

  @abc.abstractmethod
  def query_features(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Return φ of the queries: [B, T, D], [B, T] → [B, T, N, F], float32 or wider."""

  @abc.abstractmethod
  def key_features(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Return ψ of the keys: [B, S, D], [B, S] → [B, S, N, F], float32 or wider."""

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Any:
    del length
    shape = (batch_size, self.num_heads, self.feature_size)
    return Sums(
      values=jnp.zeros((*shape, self.key_size), wide(dtype)),
      weights=jnp.zeros((*shape, 1), wide(dtype)),
    )

  def advance(
    self, query: jax.Array, context: jax.Array, mask: Mask, state: Any
  ) -> tuple[jax.Array, Any]:
    q = self.query_features(query, mask.query_positions)
    k = self.key_features(context, mask.context_positions)
    k = where_real(mask.context_positions, k)
    v = self.project(context, "value")
    return self.mean(q, k, v, mask, state)

  def mean(
    self,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    mask: Mask,
    state: Sums,
    log_decay: jax.Array | None = None,
  ) -> tuple[jax.Array, Sums]:
    """Return the weighted mean; the weights are summed as one more column of the values.

    Args:
      q: φ of the queries [B, T, N, F].
      k: ψ of the keys [B, S, N, F], 0 for padding.
      v: [B, S, N, V].
      mask: which query may attend to which context token.
      state: the previous sums.
      log_decay: decay of the sums before each token, [B, S, N]; causal passes only.

    Returns:
      [B, T, N, V] and the new sums.
    """
    columns = jnp.concatenate([v.astype(k.dtype), jnp.ones_like(k[..., :1])], axis=-1)
    before = jnp.concatenate(state, axis=-1)
    y, after = self.sums(q, k, columns, mask, before, log_decay)
    mean = y[..., :-1] / (y[..., -1:] + EPSILON)
    return mean, Sums(after[..., :-1], after[..., -1:])

  def sums(
    self,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    mask: Mask,
    state: jax.Array,
    log_decay: jax.Array | None = None,
  ) -> tuple[jax.Array, jax.Array]:
    """sum_j φ(q_i)·ψ(k_j) v_j over those whom i may see, and the state."""
    if mask.causal:
      return decayed(q, k, v, log_decay, state, self.chunk, mask.starts)
    if mask.starts is not None:
      return self._sums_of_documents(q, k, v, mask.starts, state), state
    state = state + jnp.einsum("BSNF,BSNV->BNFV", k, v)
    return jnp.einsum("BTNF,BNFV->BTNV", q, state), state

  def _sums_of_documents(
    self, q: jax.Array, k: jax.Array, v: jax.Array, starts: jax.Array, state: jax.Array
  ) -> jax.Array:
    """Return the sums over each query's whole document, without a state per document.

    They are the sum up to the token and that from it on, less the token's own part.
    """

    empty = jnp.zeros_like(state)
    ends = ends_of(starts)
    before, _ = decayed(q, k, v, None, empty, self.chunk, starts)
    q, k, v, ends = (jnp.flip(x, axis=1) for x in (q, k, v, ends))
    after, _ = decayed(q, k, v, None, empty, self.chunk, ends)
    own = (q * k).sum(axis=-1, keepdims=True) * v
    return before + jnp.flip(after - own, axis=1)


def _segments(x: jax.Array, count: int, size: int, padding: int) -> jax.Array:
  """Divide into segments: [B, T, ...] → [count, B, size, ...], padded at the end."""
  rest = [(0, 0)] * (x.ndim - 2)
  x = jnp.pad(
    x, [(0, 0), (0, count * size - x.shape[1]), *rest], constant_values=padding
  )
  return jnp.moveaxis(x.reshape(len(x), count, size, *x.shape[2:]), 1, 0)


def _where_row(rows: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
  """Return x [B, ...] in the rows [B] that are true, else y."""
  return jnp.where(rows.reshape(-1, *[1] * (x.ndim - 1)), x, y)


def _one_padded(x: jax.Array) -> tuple[jax.Array, Mask]:
  """Return a sequence of one token of padding [B, 1, D], and its mask."""
  at = jnp.full((len(x), 1), -1, jnp.int32)
  return jnp.zeros_like(x[:, :1]), Mask(at, at, causal=False)


def wide(dtype: Any) -> Any:
  """Return the dtype of states and features: float32 or wider."""
  return jnp.promote_types(dtype, jnp.float32)


def where_real(positions: jax.Array, x: jax.Array) -> jax.Array:
  """x [B, S, ...], 0 where the position [B, S] is padding."""
  real = positions.reshape(*positions.shape, *[1] * (x.ndim - 2)) >= 0
  return jnp.where(real, x, 0)


class HeadNorm(hk.Module):
  """Each head divided by the root of its mean square (arXiv:1910.07467), and scaled."""

  def __call__(self, heads: jax.Array) -> jax.Array:
    """Normalise each head: [B, T, N, V] → [B, T, N, V], float32 or wider."""
    heads = heads.astype(wide(heads.dtype))
    scale = hk.get_parameter("scale", heads.shape[-1:], heads.dtype, init=jnp.ones)
    square = (heads * heads).mean(axis=-1, keepdims=True)
    return heads * jax.lax.rsqrt(square + 1e-5) * jnp.broadcast_to(scale, heads.shape)


def unit(x: jax.Array) -> jax.Array:
  """x / |x| over the last axis, 0 for 0; float32 at least."""
  x = x.astype(wide(x.dtype))
  return x * jax.lax.rsqrt((x * x).sum(axis=-1, keepdims=True) + 1e-6)
