"""Inputs of every kernel: softmax(scale · Q Kᵀ + bias) V over the allowed tokens."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from attention_lab.kernel.mask import Mask

# ([B, t], [B, s] positions) → [B, N, t, s] float32.
Bias = Callable[[jax.Array, jax.Array], jax.Array]


class Problem(NamedTuple):
  """Dot-product attention (arXiv:1706.03762, equation 1), with what may be added to it."""

  q: jax.Array  # [B, T, N, K + F]
  k: jax.Array  # [B, S, G, K]; N / G heads share one.
  v: jax.Array  # [B, S, G, V]
  mask: Mask
  scale: float = 1.0  # Of the dot products.
  window: int | None = None  # Of `mask.dense`: tokens a query sees, itself included.
  bias: Bias | jax.Array | None = None  # A function has no parameters of its own.
  dropout: float = 0.0  # Share of weights zeroed while training.
  rotations: jax.Array | None = (
    None  # [B, S, F]: constants, further columns of every key.
  )

  @property
  def bias_array(self) -> jax.Array | None:
    """The bias as [B, N, T, S], if there is one."""
    if callable(self.bias):
      return self.bias(self.mask.query_positions, self.mask.context_positions)
    return self.bias

  @property
  def score_dtype(self) -> Any:
    """Scores and weights are float32 at least."""
    return jnp.promote_types(self.q.dtype, jnp.float32)


def widened(problem: Problem) -> Problem:
  """Return the problem with rotations as part of the keys, and keys for every head."""
  q, k, v, rotations = problem.q, problem.k, problem.v, problem.rotations
  if rotations is not None:
    shape = (*k.shape[:3], rotations.shape[-1])
    columns = jnp.broadcast_to(rotations[:, :, None].astype(k.dtype), shape)
    k = jnp.concatenate([k, columns], axis=-1)
  repeats = q.shape[2] // k.shape[2]
  if repeats > 1:
    k, v = jnp.repeat(k, repeats, axis=2), jnp.repeat(v, repeats, axis=2)
  return problem._replace(k=k, v=v, rotations=None)


def is_constant(function: Callable[..., Any], *arguments: Any) -> bool:
  """Return whether a function closes over no values that may be differentiated."""
  _, hoisted = jax.closure_convert(function, *arguments)
  return not hoisted
