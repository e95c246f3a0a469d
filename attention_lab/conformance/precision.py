"""Precision: bfloat16 near rounding error, and finite results for large inputs."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.conformance.law import Case, law
from attention_lab.conformance.subject import (
  LONG,
  SHORT,
  Subject,
  cast_to,
  distance,
  positions_of,
)

LENGTHS = (SHORT, LONG, 1_024)


@law(
  "the bfloat16 error is near rounding error",
  "scores, a softmax or a running sum is computed in 16 bits",
)
def bfloat16_is_accurate(subject: Subject) -> Iterator[Case]:
  """Limit the bfloat16 error to a multiple of that of rounding inputs and parameters."""
  yield Case("the output is not bfloat16", partial(_changes_dtype, subject), 0.0)
  lengths = LENGTHS if subject.full else (SHORT, LONG)
  for length in lengths:
    if length <= subject.reach:
      case = f"T={length}, error over rounding error"
      yield Case(case, partial(_bfloat16_error, subject, length), 8.0)


def _changes_dtype(subject: Subject) -> bool:
  params = cast_to(jnp.bfloat16, subject.initial_parameters())
  x = subject.inputs().astype(jnp.bfloat16)
  mask = subject.mask(positions_of(*x.shape[:2]))
  y = jax.eval_shape(subject.plain_functions().apply, params, x, mask)
  return y.dtype != jnp.bfloat16


def _bfloat16_error(subject: Subject, length: int) -> float:
  """Return the error of bfloat16 over the error that rounding alone causes."""
  f, params = subject.functions(), subject.initial_parameters()
  x = subject.inputs(1, length)
  positions = positions_of(*x.shape[:2])
  exact = subject.run(x, positions, params)
  low_params, low = cast_to(jnp.bfloat16, params), x.astype(jnp.bfloat16)
  y = f.apply(low_params, low, subject.mask(positions))
  rounded_params = cast_to(jnp.float32, low_params)
  rounded = subject.run(low.astype(jnp.float32), positions, rounded_params)
  rounding_error = max(distance(rounded, exact), 2.0**-8)
  return distance(y, exact) / rounding_error


@law(
  "large inputs give finite numbers",
  "an exponential whose maximum is not subtracted, or a square that overflows",
)
def large_inputs_are_finite(subject: Subject) -> Iterator[Case]:
  """Require finite outputs and gradients for inputs 100 times as large."""
  for label, params in subject.labelled_parameters():
    x = subject.inputs(scale=100.0)
    positions = positions_of(*x.shape[:2])
    gradient = partial(subject.gradient, x, positions, np.ones_like(x), params)
    case = f"T={SHORT}, {label} parameters, outputs or gradients not finite"
    yield Case(case, partial(_infinite, gradient), 0.0)
    if subject.reach >= LONG:
      output = partial(
        subject.run, subject.inputs(length=LONG, scale=100.0), None, params
      )
      case = f"T={LONG}, {label} parameters, outputs not finite"
      yield Case(case, partial(_infinite, output), 0.0)


def _infinite(run: Callable[[], Any]) -> float:
  """Return how many arrays of a result are not finite."""
  return float(sum(not np.isfinite(leaf).all() for leaf in jax.tree.leaves(run())))
