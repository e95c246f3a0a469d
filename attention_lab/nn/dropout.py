"""Dropout that is on exactly where a random key is given (Srivastava et al., 2014)."""

import haiku as hk
import jax


def drop(x: jax.Array, rate: float) -> jax.Array:
  """Zeroes a share `rate` of x and scales the rest up; call it inside a transform.

  Training passes a key to `apply`, evaluation and decoding pass None: no flag says
  which of the two is going on, so none can be wrong.
  """
  key = hk.maybe_next_rng_key() if rate else None
  return x if key is None else hk.dropout(key, rate, x)
