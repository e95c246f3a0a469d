"""Numerical properties: gradients, precision, scale and JAX's transformations."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.conformance.causality import ROUNDING
from attention_lab.conformance.law import Case, law
from attention_lab.conformance.subject import (
  SHORT,
  Sizes,
  Subject,
  cast_to,
  distance,
  positions_of,
)

STEP = 1e-4  # Step size of the finite differences.


@law(
  "the gradient is correct",
  "a hand-written gradient, a stop_gradient, or an operation that is not smooth",
)
def gradient_is_correct(subject: Subject) -> Iterator[Case]:
  """Compare the gradient with central differences along random directions, in float64."""
  with jax.enable_x64(True):
    x = subject.inputs()
    point = jax.tree.map(np.asarray, (subject.random_parameters(), x))
    rng = np.random.default_rng(5)

    def random_like(leaf: Any) -> Any:
      return rng.normal(size=leaf.shape).astype(leaf.dtype)

    w = random_like(x)

    def run(point: Any) -> tuple[float, Any]:
      params, x = point
      y, gradient = subject.gradient(x, positions_of(*x.shape[:2]), w, params)
      return float((w * y).sum()), gradient

    gradient = run(point)[1]
    params, _ = point
    directions = (
      ("the parameters", (jax.tree.map(random_like, params), np.zeros_like(x))),
      ("the inputs", (jax.tree.map(np.zeros_like, params), random_like(x))),
    )
    for label, direction in directions:
      products = jax.tree.map(lambda g, d: np.sum(g * d), gradient, direction)
      slope = float(sum(jax.tree.leaves(products)))
      values = [
        run(jax.tree.map(lambda p, d, n=n: p + n * STEP * d, point, direction))[0]
        for n in (-2, -1, 1, 2)
      ]
      expected = np.dot(values, (1, -8, 8, -1)) / (12 * STEP)  # Fourth order.
      error = abs(slope - expected) / (abs(expected) + 1e-3)
      yield Case(f"float64, T={SHORT}, along {label}", error, 1e-5)


@law(
  "the bfloat16 error is near rounding error",
  "scores, a softmax or a running sum is computed in 16 bits",
)
def bfloat16_is_accurate(subject: Subject) -> Iterator[Case]:
  """Limit the bfloat16 error to 8 times that of rounding inputs and parameters alone."""
  f = subject.functions()
  params, x = subject.initial_parameters(), subject.inputs()
  positions = positions_of(*x.shape[:2])
  exact = subject.run(x, positions, params)
  low_params, low = cast_to(jnp.bfloat16, params), x.astype(jnp.bfloat16)
  y = f.apply(low_params, low, low, subject.mask(positions))
  yield Case(f"the output is {y.dtype}", y.dtype != jnp.bfloat16, 0.0)
  rounded_params = cast_to(jnp.float32, low_params)
  rounded = subject.run(low.astype(jnp.float32), positions, rounded_params)
  rounding_error = max(distance(rounded, exact), 2.0**-8)
  error = distance(y, exact) / rounding_error
  yield Case(f"T={SHORT}, error over rounding error", error, 8.0)


@law(
  "large inputs give finite numbers",
  "an exponential whose maximum is not subtracted, or a square that overflows",
)
def large_inputs_are_finite(subject: Subject) -> Iterator[Case]:
  """Require finite outputs and gradients for inputs 100 times as large."""
  x = subject.inputs(scale=100.0)
  positions = positions_of(2, SHORT)
  for label, params in subject.labelled_parameters():
    result = subject.gradient(x, positions, np.ones_like(x), params)
    failures = sum(not np.isfinite(leaf).all() for leaf in jax.tree.leaves(result))
    case = f"{label} parameters, outputs or gradients not finite"
    yield Case(case, failures, 0.0)


@law(
  "the initial scale is reasonable",
  "1/√K is missing, a sum is used for a mean, or an initialisation has the wrong width",
)
def initial_scale_is_reasonable(subject: Subject) -> Iterator[Case]:
  """Limit the scale of initial outputs and weights, for unit inputs and d_model 128.

  The standard deviation of the outputs must be 0.01 to 10. If weights are available, the
  largest weight of each row of at least 24 must be at most 0.7 on average.
  """
  wide = Subject(str(subject.spec), subject.build, Sizes(2, 64, 128))
  x = wide.inputs(length=48)
  mask = wide.mask(positions_of(*x.shape[:2]))
  f = wide.functions(())
  y, weights = f.weights(wide.initial_parameters(f), x, x, mask)
  y = np.asarray(y)
  for label, rows in (("the first token", y[:, :1]), ("the last tokens", y[:, 24:])):
    deviation = float(np.std(rows))
    outside = max(deviation / 10, 0.01 / max(deviation, 1e-30))
    yield Case(f"{label}: standard deviation {deviation:.2g}", outside, 1.0)
  for layer in map(np.asarray, weights):
    many = (layer > 0).sum(axis=-1) >= 24  # In a short row, one weight may be large.
    if many.any():
      largest = float(layer.max(axis=-1)[many].mean())
      yield Case("mean of the largest of 24 to 48 weights", largest, 0.7)


@law(
  "outputs are deterministic",
  "a hidden random number, or state that outlives a call",
)
def outputs_are_deterministic(subject: Subject) -> Iterator[Case]:
  """Require bitwise equal outputs of two calls without a random key."""
  x = subject.inputs()
  y, again = subject.run(x), subject.run(x)
  yield Case(f"T={SHORT}, two calls differ", not np.array_equal(y, again), 0.0)


@law(
  "compiled equals eager",
  "a Python branch on a value, or a numpy function instead of its jax.numpy counterpart",
)
def compiled_equals_eager(subject: Subject) -> Iterator[Case]:
  """Require equal outputs, up to rounding, with and without jit."""
  x = subject.inputs()
  with jax.disable_jit():
    eager = subject.run(x)
  yield Case(f"T={SHORT}", distance(subject.run(x), eager), ROUNDING)


@law(
  "vmap and pmap do not change outputs",
  "a reshape or an axis counted from the front, or an operation without a batching rule",
)
def mapped_equals_single(subject: Subject) -> Iterator[Case]:
  """Require equal outputs, up to rounding, under pmap over devices and vmap on each."""
  f, params = subject.functions(), subject.random_parameters()
  positions = positions_of(2, SHORT)

  def apply(x: jax.Array) -> Any:
    return f.apply(params, x, x, subject.mask(positions))

  devices, count = min(2, jax.local_device_count()), 2
  x = np.stack([subject.inputs(seed=i) for i in range(devices * count)])
  expected = np.stack([subject.run(inputs) for inputs in x])
  y = np.asarray(jax.pmap(jax.vmap(apply))(x.reshape(devices, count, *x.shape[1:])))
  case = f"pmap over {devices} of vmap over {count}"
  yield Case(case, distance(y.reshape(expected.shape), expected), ROUNDING)
