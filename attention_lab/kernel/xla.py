"""JAX's own attention, `jax.nn.dot_product_attention`, by XLA or by cuDNN's kernel."""

from typing import Literal

import jax
import jax.numpy as jnp

from attention_lab.kernel.problem import Problem, widened


def xla(problem: Problem) -> jax.Array:
  """Compute [B, T, N, V] by `jax.nn.dot_product_attention` on XLA."""
  return _by(problem, "xla")


def cudnn(problem: Problem) -> jax.Array:
  """Compute [B, T, N, V] by cuDNN's fused attention: NVIDIA GPUs, 16-bit floats."""
  return _by(problem, "cudnn")


def _by(problem: Problem, implementation: Literal["xla", "cudnn"]) -> jax.Array:
  problem = widened(problem) if problem.rotations is not None else problem
  q, k, v, mask = problem.q, problem.k, problem.v, problem.mask
  bias = problem.bias_array
  by_index = mask.aligned and q.shape[1] == k.shape[1] and mask.query_segments is None
  allowed = None if by_index and problem.window is None else mask.dense(problem.window)
  size = max(q.shape[-1], v.shape[-1])  # It knows one head size.
  y = jax.nn.dot_product_attention(
    _filled(q, size),
    _filled(k, size),
    _filled(v, size),
    None if bias is None else bias.astype(q.dtype),
    allowed,
    scale=problem.scale,
    is_causal=by_index and mask.causal,
    implementation=implementation,
  )[..., : v.shape[-1]]
  if allowed is None:
    return y
  # XLA's kernel returns the mean of all values for a fully masked query; here it is 0.
  return jnp.where(allowed.any(axis=-1)[:, 0, :, None, None], y, 0)


def _filled(x: jax.Array, size: int) -> jax.Array:
  """Pad with columns of zeros, which change no dot product."""
  return jnp.pad(x, [(0, 0)] * 3 + [(0, size - x.shape[-1])])
