"""Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): one small cache."""

import dataclasses
import math
from typing import Any, ClassVar, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import append, register_attention
from attention_lab.attention.base.multi_head import MultiHead, split_heads
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask
from attention_lab.nn.linear import Linear, matmul


class LatentCache(NamedTuple):
  """Latents of keys and values, and the key that all heads share."""

  latents: jax.Array  # [B, S, C]
  shared: jax.Array  # [B, S, R], rotated
  positions: jax.Array  # [B, S] int32; negative for empty slots
  filled: jax.Array  # [] int32: slots in use


class LatentMemory(NamedTuple):
  """Latents and shared keys of another sequence."""

  latents: jax.Array  # [B, S, C]
  shared: jax.Array  # [B, S, R], rotated
  positions: jax.Array  # [B, S] int32; negative for padding


class LatentQuery(NamedTuple):
  """Queries for the keys from the latents, and for the shared key."""

  content: jax.Array  # [B, T, N, K]
  rotated: jax.Array  # [B, T, N, R]


@register_attention("latent")
@dataclasses.dataclass(kw_only=True)
class Latent(MultiHead):
  """Softmax attention whose keys and values are linear maps of one small latent.

  The cache holds the latents c [C] and one rotated key k' [R] that all heads share.

  Equation:
    y_i = Σ_j softmax_j((q_i·k_j + q'_i·k'_j) / √(K + R)) v_j
    c_j = norm(L x_j),  k_j = U c_j,  v_j = W c_j

  Departures:
    - It decodes in the absorbed form: U is part of the queries and W of the output, so
      that no keys are formed.
    - It was written from the paper's equations as remembered; the paper's own code was
      not at hand.
  """

  honours_prefix: ClassVar[bool] = True

  kv_rank: int | None = None  # C, size of the latents; None: num_heads · key_size / 2.
  q_rank: int | None = None  # Size of the queries' own latents; None: no latents.
  rope_size: int | None = None  # R, size of the shared key; None: key_size / 2, even.

  def __call__(self, query: jax.Array, context: jax.Array, mask: Mask) -> jax.Array:
    q = self.queries(query, mask.query_positions)
    latents, shared = self.keys_values(context, mask.context_positions)
    k = split_heads(matmul(latents, self._up("key", latents.dtype)), self.key_size)
    v = split_heads(matmul(latents, self._up("value", latents.dtype)), self.key_size)
    every = jnp.broadcast_to(shared[:, :, None], (*k.shape[:3], self._rope_size))
    k = jnp.concatenate([k, every], axis=-1)
    return self.read(jnp.concatenate(q, axis=-1), k, v, mask)

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Any:
    return LatentCache(
      latents=jnp.zeros((batch_size, length, self._kv_rank), dtype),
      shared=jnp.zeros((batch_size, length, self._rope_size), dtype),
      positions=jnp.full((batch_size, length), -1, jnp.int32),
      filled=jnp.zeros((), jnp.int32),
    )

  def extend(
    self, query: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[jax.Array, Any]:
    q = self.queries(query, positions)
    latents, shared = self.keys_values(query, positions)
    state = LatentCache(
      latents=append(state.latents, latents, state.filled),
      shared=append(state.shared, shared, state.filled),
      positions=append(state.positions, positions, state.filled),
      filled=state.filled + query.shape[1],
    )
    mask = self.decode_mask(positions, state.positions)
    return self._absorbed(q, state.latents, state.shared, mask), state

  def memorise(self, context: jax.Array, positions: jax.Array) -> Any:
    return LatentMemory(*self.keys_values(context, positions), positions)

  def recall(self, query: jax.Array, positions: jax.Array, memory: Any) -> jax.Array:
    mask = Mask(positions, memory.positions, causal=False)
    q = self.queries(query, positions)
    return self._absorbed(q, memory.latents, memory.shared, mask)

  def _absorbed(
    self, q: LatentQuery, latents: jax.Array, shared: jax.Array, mask: Mask
  ) -> jax.Array:
    """Attend to the cache, with U in the queries and W in the output: [B, T, D]."""
    up, down = (self._up_heads(name, latents.dtype) for name in ("key", "value"))
    into = jnp.einsum("BTNK,CNK->BTNC", q.content, up)
    wide = jnp.concatenate([into, q.rotated], axis=-1)
    k = jnp.concatenate([latents, shared], axis=-1)[:, :, None]
    read = self.attend(wide, k, latents[:, :, None], mask)
    return self.merge(jnp.einsum("BTNC,CNK->BTNK", read, down))

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    # dot_product divides by √K.
    q = q * math.sqrt(self.key_size / (self.key_size + self._rope_size))
    return self.dot_product(q, k, v, mask)

  def every_head(self, k: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    return k, v  # The kernel repeats them for the heads.

  def queries(self, x: jax.Array, positions: jax.Array) -> LatentQuery:
    if self.q_rank is not None:
      x = self._down(x, _positive("q_rank", self.q_rank), "query_latent")
      x = _rms_norm(x, "query_norm")
    sizes = (self.key_size, self._rope_size)
    q = Linear(self.num_heads * sum(sizes), False, self.w_init, "query")(x)
    q = q.reshape(*q.shape[:2], self.num_heads, -1)
    content, rotated = jnp.split(q, [self.key_size], axis=-1)
    return LatentQuery(content, self.position.rotate(rotated, positions))

  def keys_values(
    self, x: jax.Array, positions: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Return the latents [B, S, C] and the shared key [B, S, R]."""
    latents = _rms_norm(self._down(x, self._kv_rank, "latent"), "latent_norm")
    shared = self._down(x, self._rope_size, "shared_key")[:, :, None]
    return latents, self.position.rotate_keys(shared, positions)[:, :, 0]

  @property
  def _kv_rank(self) -> int:
    half = math.ceil(self.num_heads * self.key_size / 2)
    return _positive("kv_rank", half if self.kv_rank is None else self.kv_rank)

  @property
  def _rope_size(self) -> int:
    even = 2 * math.ceil(self.key_size / 4)  # Rotations turn pairs.
    return _positive("rope_size", even if self.rope_size is None else self.rope_size)

  def _down(self, x: jax.Array, size: int, name: str) -> jax.Array:
    return Linear(size, self.bias, self.w_init, name)(x)

  def _up(self, name: str, dtype: Any) -> jax.Array:
    """Return U or W, without bias as in the paper's code: [C, G·K]."""
    linear = Linear(self.kv_heads * self.key_size, False, self.w_init, name)
    return linear.weights(self._kv_rank, dtype)

  def _up_heads(self, name: str, dtype: Any) -> jax.Array:
    """Return U or W for every head: [C, N, K]."""
    repeats = self.num_heads // self.kv_heads
    return jnp.repeat(
      split_heads(self._up(name, dtype), self.key_size), repeats, axis=1
    )


def _positive(option: str, size: int) -> int:
  if size < 1:
    raise UserError(f"latent({option}={size}): take 1 or more, or None.")
  return size


def _rms_norm(x: jax.Array, name: str) -> jax.Array:
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  norm = hk.RMSNorm(axis=-1, create_scale=True, eps=1e-6, name=name)
  return norm(wide).astype(x.dtype)
