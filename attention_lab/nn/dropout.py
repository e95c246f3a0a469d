"""Dropout that is on exactly where a random key is given (Srivastava et al., 2014)."""

import haiku as hk
import jax


def drop(x: jax.Array, rate: float) -> jax.Array:
  """Zero a share `rate` of x and scale the rest up; call this inside a transform.

  Training passes a random key to `apply`; evaluation and decoding pass None, which turns
  dropout off. There is no separate flag.
  """
  key = hk.maybe_next_rng_key() if rate else None
  return x if key is None else hk.dropout(key, rate, x)
