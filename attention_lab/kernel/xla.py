"""JAX's own attention, `jax.nn.dot_product_attention`, by XLA or by cuDNN's kernel."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from attention_lab.kernel.mask import Mask
from attention_lab.kernel.problem import Problem, widened

Implementation = Literal["xla", "cudnn"]


def xla(problem: Problem) -> jax.Array:
  """Compute [B, T, N, V] by `jax.nn.dot_product_attention` on XLA."""
  return _by(problem, "xla")


def cudnn(problem: Problem) -> jax.Array:
  """Compute [B, T, N, V] by cuDNN's fused attention: NVIDIA GPUs, 16-bit floats."""
  return _by(problem, "cudnn")


def _by(problem: Problem, implementation: Implementation) -> jax.Array:
  problem = widened(problem) if problem.rotations is not None else problem
  q, k, v, mask = problem.q, problem.k, problem.v, problem.mask
  by_index = mask.aligned and q.shape[1] == k.shape[1] and mask.query_segments is None
  by_index &= problem.window is None
  if by_index and mask.both_ways:
    return _with_prefix(problem, implementation)
  bias = problem.bias_array
  allowed = None if by_index else mask.dense(problem.window)
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


def _with_prefix(problem: Problem, implementation: Implementation) -> jax.Array:
  """Attend among the tokens of the prefix, then causally: two passes without a mask."""
  q, k, v, mask, _, _, bias, *_ = problem
  own = slice(mask.both_ways)
  at = mask.query_positions[:, own], mask.context_positions[:, own]
  prefix = problem._replace(
    q=q[:, own],
    k=k[:, own],
    v=v[:, own],
    mask=Mask(*at, causal=False, aligned=True),
    bias=bias[..., own, own] if isinstance(bias, jax.Array) else bias,
  )
  causal = problem._replace(mask=dataclasses.replace(mask, prefix=0))
  first, every = _by(prefix, implementation), _by(causal, implementation)
  return jnp.concatenate([first, every[:, mask.both_ways :]], axis=1)


def _filled(x: jax.Array, size: int) -> jax.Array:
  """Pad with columns of zeros, which change no dot product."""
  return jnp.pad(x, [(0, 0)] * 3 + [(0, size - x.shape[-1])])
