"""The step and the decay of each head and token, as in Mamba-2 (arXiv:2405.21060)."""

from collections.abc import Sequence
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.recurrent import wide


def step_and_decay(step: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Return Δ = softplus(x + b) and log α = -exp(a) Δ of projections x, with learnt a and b.

  Args:
    step: x [B, T, N].

  Returns:
    Δ and log α [B, T, N], float32 at least.
  """
  step = step.astype(wide(step.dtype))
  shape = step.shape[-1:]
  log_rate = hk.get_parameter("log_rate", shape, step.dtype, init=_log_rate)
  offset = hk.get_parameter("decay_offset", shape, step.dtype, init=_offset)
  step = jax.nn.softplus(step + jnp.broadcast_to(offset, step.shape))
  return step, -jnp.exp(jnp.broadcast_to(log_rate, step.shape)) * step


def _log_rate(shape: Sequence[int], dtype: Any) -> jax.Array:
  """Return logarithms of numbers between 1 and 16."""
  key = hk.next_rng_key()
  return jnp.log(jax.random.uniform(key, shape, dtype, minval=1.0, maxval=16.0))


def _offset(shape: Sequence[int], dtype: Any) -> jax.Array:
  """Return b, of which the softplus is 0.001 to 0.1, evenly in its logarithm."""
  low, high = jnp.log(jnp.array([0.001, 0.1], dtype))
  step = jnp.exp(jax.random.uniform(hk.next_rng_key(), shape, dtype, low, high))
  return step + jnp.log(-jnp.expm1(-step))
