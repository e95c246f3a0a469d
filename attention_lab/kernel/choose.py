"""Chooses a kernel: by platform and shape, or as the configuration says."""

import jax
import jax.numpy as jnp

from attention_lab.errors import UserError, nearest
from attention_lab.kernel.blocked import blocked
from attention_lab.kernel.problem import Problem
from attention_lab.kernel.reference import reference
from attention_lab.kernel.weights import watched
from attention_lab.kernel.xla import cudnn, xla

KERNELS = {"reference": reference, "blocked": blocked, "xla": xla, "cudnn": cudnn}
NAMES = ("auto", *KERNELS)

# Where blocks begin to pay on a CPU: fewer queries, and the plain formula is as fast.
BLOCKED_FROM = 128

LARGE = 2**31  # Bytes of scores from which on blocks spare an accelerator's memory.

LARGEST_CUDNN_HEAD = 128


def attend(problem: Problem, kernel: str = "auto") -> jax.Array:
  """Compute dot-product attention exactly.

  Args:
    problem: the inputs.
    kernel: one of `NAMES`. The plain formula replaces any of them while weights are
      collected, since only it forms them.

  Returns:
    [B, T, N, V] of v's dtype; zeros for a fully masked query.

  Raises:
    UserError: the kernel does not exist, or does not support the problem.
  """
  if kernel not in NAMES:
    raise UserError(f"--config.kernel={kernel}: {nearest(kernel, NAMES)}")
  if watched():
    return reference(problem)
  if kernel == "auto":
    return KERNELS[_best(problem)](problem)
  if (reason := _obstacle(problem, kernel)) is not None:
    raise UserError(f"--config.kernel={kernel} {reason}. Use auto or reference.")
  return KERNELS[kernel](problem)


def _best(problem: Problem) -> str:
  on_cpu = jax.default_backend() == "cpu"
  if not on_cpu and not _obstacle(problem, "cudnn"):
    return "cudnn"
  batch, queries, heads, _ = problem.q.shape
  if on_cpu:
    long = queries >= BLOCKED_FROM
  else:
    long = 4 * batch * heads * queries * problem.k.shape[1] > LARGE
  return "blocked" if long and not _obstacle(problem, "blocked") else "reference"


def _obstacle(problem: Problem, kernel: str) -> str | None:
  """Return why a kernel does not support a problem; None if it does."""
  if kernel == "reference":
    return None
  if problem.dropout:
    return "forms no weights that could be dropped"
  if kernel == "blocked" and isinstance(problem.bias, jax.Array):
    return "takes no bias that is learned or drawn at random"
  return _obstacle_on_gpu(problem) if kernel == "cudnn" else None


def _obstacle_on_gpu(problem: Problem) -> str | None:
  if problem.mask.query_segments is not None:  # Else it takes a [T, S] array.
    return "keeps documents apart only if their number is known when it compiles"
  if problem.mask.both_ways:  # The same.
    return "has no mask in which a prefix sees itself in both directions"
  if jax.default_backend() != "gpu":
    return "needs an NVIDIA GPU"
  if problem.q.dtype not in (jnp.bfloat16, jnp.float16):
    return "computes in 16 bits alone (--config.train.precision=bfloat16)"
  rotations = 0 if problem.rotations is None else problem.rotations.shape[-1]
  for size in (problem.k.shape[-1] + rotations, problem.v.shape[-1]):
    if size > LARGEST_CUDNN_HEAD or size % 8:
      return f"takes heads of a multiple of 8 up to {LARGEST_CUDNN_HEAD}, not of {size}"
  return None
