"""Linear recurrence with decay, chunk by chunk (Yang et al., arXiv:2312.06635).

S_t = diag(exp g_t) S_{t-1} + k_t v_tᵀ,  y_t = q_tᵀ S_t.

With b the cumulated g of a chunk, S the state before it and C its last token,

  y_i = (q_i ∘ exp b_i)ᵀ S + sum over j <= i of (q_i · (exp(b_i - b_j) ∘ k_j)) v_j
  S'  = diag(exp b_C) S + sum over j of (exp(b_C - b_j) ∘ k_j) v_jᵀ

of which the second sum of y, scores [C, C] times values, is computed for all chunks at
once, and only the two products with S wait for the chunk before. Time and memory are
linear in T. No number above 0 is ever exponentiated.
"""

import jax
import jax.numpy as jnp

from attention_lab.kernel.chunks import Decay, chunk_size, exp_where, join, lower, split

DENSE = 4  # Tokens up to which scores under a decay by channel are formed at once.


def decayed(
  q: jax.Array,
  k: jax.Array,
  v: jax.Array,
  log_decay: jax.Array | None,
  state: jax.Array,
  chunk: int,
  starts: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Read and update the state, equivalent to a recurrence over tokens.

  Args:
    q, k: [B, T, N, K].
    v: [B, T, N, V].
    log_decay: g <= 0: None for no decay, [B, T, N], or by channel [B, T, N, K].
    state: [B, N, K, V], before the first token.
    chunk: tokens per chunk; the result is the same for any number.
    starts: [B, T] bool, whether a token begins another document than that of the token
      before it, which leaves it no state; None for one document.

  Returns:
    y [B, T, N, V] and the state after the last token, both float32 or wider.
  """
  dtype = jnp.promote_types(jnp.result_type(q, k, v), jnp.float32)
  length, size = q.shape[1], chunk_size(q.shape[1], chunk)
  if log_decay is None and starts is not None:
    log_decay = jnp.zeros(q.shape[:3], dtype)
  q, k, v = (split(x.astype(dtype), size) for x in (q, k, v))
  kept = None
  if log_decay is None:
    scores = q @ k.mT
    within = jnp.where(lower(scores.shape), scores, 0) @ v
  else:
    decay = Decay.of(log_decay, starts, size, dtype)
    by_channel = log_decay.ndim == 4
    scores = _by_channel(q, k, decay) if by_channel else (q @ k.mT) * decay.between()
    within = scores @ v
    q, k, kept = q * decay.before, k * decay.after, decay.whole

  def step(
    state: jax.Array, chunk: tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]
  ) -> tuple[jax.Array, jax.Array]:
    q, k, v, kept = chunk
    left = state if kept is None else state * kept
    return left + k.mT @ v, q @ state

  state, carried = jax.lax.scan(step, state.astype(dtype), (q, k, v, kept))
  return join(within + carried, length), state


def _by_channel(q: jax.Array, k: jax.Array, decay: Decay) -> jax.Array:
  """Return the scores under a decay by channel: [M, B, N, C, K] → [M, B, N, C, C]."""
  documents = decay.documents
  if documents is not None:
    documents = jnp.broadcast_to(documents, (*q.shape[:-1], 1))
  flat = jax.tree.map(
    lambda x: x.reshape(-1, *x.shape[-2:]), (q, k, decay.cumulated, documents)
  )
  return _scores_by_channel(*flat).reshape(*q.shape[:-1], q.shape[-2])


def _scores_by_channel(
  q: jax.Array, k: jax.Array, b: jax.Array, documents: jax.Array | None
) -> jax.Array:
  """Return Σ_f q_if k_jf exp(b_if - b_jf) for j <= i: [G, C, K] → [G, C, C].

  It is 0 between tokens of different documents [G, C, 1].

  This is not a matrix product, and exp(b_i) exp(-b_j) would overflow. Between the later and
  the earlier half of the tokens, the decay factors into that up to the middle and that
  from there on, neither above 1, which gives a matrix product. The two remaining halves
  are treated alike, stacked in G: with an axis of their own, XLA's CPU backend would abort
  at the eighth level (jax 0.12).
  """
  count, size, _ = q.shape
  if size % 2 or size <= DENSE:
    exponent = b[:, :, None] - b[:, None]
    related = lower(exponent.shape, row=-3)
    if documents is not None:
      related &= documents[:, :, None] == documents[:, None]
    decay = exp_where(related, exponent)
    return (q[:, :, None] * k[:, None] * decay).sum(axis=-1)
  half = size // 2
  halves = jax.tree.map(
    lambda x: x.reshape(-1, half, x.shape[-1]), (q, k, b, documents)
  )
  inside = _scores_by_channel(*halves)
  first, second = jnp.moveaxis(inside.reshape(count, 2, half, half), 1, 0)
  at = slice(half - 1, half)
  late, early = b[:, half:] - b[:, at], b[:, at] - b[:, :half]
  if documents is None:
    later, earlier = jnp.exp(late), jnp.exp(early)
  else:
    middle = documents[:, at]
    later = exp_where(documents[:, half:] == middle, late)
    earlier = exp_where(documents[:, :half] == middle, early)
  later, earlier = q[:, half:] * later, k[:, :half] * earlier
  top = jnp.concatenate([first, jnp.zeros_like(first)], axis=-1)
  bottom = jnp.concatenate([later @ earlier.mT, second], axis=-1)
  return jnp.concatenate([top, bottom], axis=-2)
