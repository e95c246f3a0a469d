"""Cost: linear time and memory, where an attention claims them."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from attention_lab.benchmark.flops import traced_elements, traced_flops
from attention_lab.conformance.inputs import SHORT, positions_of
from attention_lab.conformance.law import Case, law
from attention_lab.conformance.subject import Subject

# Lengths between which linear cost is measured. At both, everything that depends on the
# length, such as segments of a recurrence, is in use.
LENGTHS = (4_096, 16_384)


def _unless_linear(subject: Subject) -> str:
  return "" if subject.linear_time else "linear_time is not set"


@law(
  "time and memory grow linearly",
  "an array [T, S] is formed, or a loop carries a value that grows with the length",
  _unless_linear,
)
def cost_grows_linearly(subject: Subject) -> Iterator[Case]:
  """Compare the cost of a pass and its gradient at two lengths.

  The cost is counted in FLOPs of matrix products, in elements that all other operations
  compute, and in bytes of temporary memory of the compiled program.
  """
  growth = LENGTHS[1] / LENGTHS[0]
  costs = [_costs(subject, length) for length in LENGTHS]
  for unit in costs[0]:
    short, long = (cost[unit] for cost in costs)
    label = f"{unit} at {growth:.0f} times the tokens"
    yield Case(label, long / max(short, 1), 1.3 * growth)


def _costs(subject: Subject, length: int) -> dict[str, int]:
  """Return the cost of a pass and its gradient at a length, by unit."""
  f = subject.plain_functions(length)
  x = jax.ShapeDtypeStruct((1, length, subject.sizes.d_model), jnp.float32)

  def total(params: Any, x: jax.Array) -> jax.Array:
    mask = subject.mask(positions_of(*x.shape[:2]), aligned=True)
    return f.apply(params, x, mask).sum()

  mask = subject.mask(positions_of(1, SHORT))
  params = jax.eval_shape(f.init, jax.random.key(0), subject.inputs(1), mask)
  gradient = jax.jit(jax.grad(total, argnums=(0, 1))).trace(params, x)
  costs = {
    "FLOPs of products": traced_flops(gradient.jaxpr),
    "elements computed": traced_elements(gradient.jaxpr),
  }
  if subject.full:  # Only a compiled program tells its memory.
    analysis = gradient.lower().compile().memory_analysis()
    costs["bytes of temporary memory"] = analysis.temp_size_in_bytes if analysis else 0
  return costs
