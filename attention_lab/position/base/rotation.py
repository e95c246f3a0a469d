"""Rotation of pairs of features, which rotary schemes share (arXiv:2104.09864)."""

import jax
import jax.numpy as jnp

from attention_lab.errors import UserError


def frequencies(features: int, base: float) -> jax.Array:
  """Return base^(-2f/F) for the pairs of F features: [F/2], radians per position."""
  # From 0 in steps of 1, since JAX computes any other range eagerly, however long it is.
  return base ** (-2 * jnp.arange(features // 2) / features)


def turn(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
  """Multiply the pairs (x_f, x_{f+K/2}) by cos + i sin.

  Args:
    x: [B, T, N, K].
    cos, sin: [B, T, K/2]; cos² + sin² may differ from 1, which scales the pair.

  Returns:
    [B, T, N, K] of x's dtype.
  """
  if x.shape[-1] % 2:
    raise UserError(
      f"A rotation turns pairs: the head size must be even, not {x.shape[-1]}."
    )
  cos, sin = (array[:, :, None].astype(x.dtype) for array in (cos, sin))
  first, second = jnp.split(x, 2, axis=-1)
  return jnp.concatenate(
    [first * cos - second * sin, second * cos + first * sin], axis=-1
  )
