"""The (gated) delta rule, chunk by chunk (Yang et al., arXiv:2406.06484, arXiv:2412.06464).

S_t = exp(g_t) (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ,  y_t = q_tᵀ S_t.

With b the cumulated g of a chunk and S the state before it,

  S_t = exp(b_t) S + sum over j <= t of exp(b_t - b_j) k_j u_jᵀ
  u_t = β_t (v_t - exp(b_t) Sᵀ k_t - sum over j < t of exp(b_t - b_j) (k_t · k_j) u_j)

so that the u of a chunk solve (I + L) U = β V - (β exp(b) K) S with L strictly lower
triangular: the WY representation. The triangular systems of all chunks are solved at once,
for both terms; only the products with S wait for the chunk before.
"""

import jax
import jax.numpy as jnp

from attention_lab.kernel.chunks import Decay, chunk_size, join, split


def delta_rule(
  q: jax.Array,
  k: jax.Array,
  v: jax.Array,
  beta: jax.Array,
  log_decay: jax.Array | None,
  state: jax.Array,
  chunk: int,
  starts: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Read and update the state, equivalent to a recurrence over tokens.

  Args:
    q, k: [B, T, N, K].
    v: [B, T, N, V].
    beta: [B, T, N]; padding has beta 0 and log_decay 0.
    log_decay: g <= 0: [B, T, N], or None for no decay.
    state: [B, N, K, V], before the first token.
    chunk: tokens per chunk; the result is the same for any number.
    starts: [B, T] bool, whether a token begins another document than that of the token
      before it, which leaves it no state; None for one document.

  Returns:
    y [B, T, N, V] and the state after the last token, both float32 or wider.
  """
  dtype = jnp.promote_types(jnp.result_type(q, k, v), jnp.float32)
  length, size = q.shape[1], chunk_size(q.shape[1], chunk)
  if log_decay is None:
    log_decay = jnp.zeros_like(beta)
  decay = Decay.of(log_decay, starts, size, dtype)
  q, k, v, beta = (split(x.astype(dtype), size) for x in (q, k, v, beta))
  between, beta = decay.between(), beta[..., None]
  erased = beta * (k @ k.mT) * between  # Only what is below the diagonal is read.
  written = jnp.concatenate([beta * v, beta * decay.before * k], axis=-1)
  solved = jax.lax.linalg.triangular_solve(
    erased, written, left_side=True, lower=True, unit_diagonal=True
  )
  new, old = jnp.split(solved, [v.shape[-1]], axis=-1)  # U = new - old S
  scores = (q @ k.mT) * between

  def step(
    state: jax.Array, chunk: tuple[jax.Array, ...]
  ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    q, k, new, old, kept = chunk
    u = new - old @ state
    return kept * state + k.mT @ u, (u, q @ state)

  chunks = (q * decay.before, k * decay.after, new, old, decay.whole)
  state, (u, carried) = jax.lax.scan(step, state.astype(dtype), chunks)
  return join(scores @ u + carried, length), state
