"""Numbers: gradients, precision, size, and what jax's transformations must not change."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.conformance.law import Case, law
from attention_lab.conformance.subject import (
  SHORT,
  Sizes,
  Subject,
  cast_to,
  distance,
  positions_of,
)

STEP = 1e-4  # Of the differences that a gradient is compared with.


@law(
  "the gradient is right",
  "a hand-written gradient, a stop_gradient, or a step that is not smooth",
)
def gradient_is_right(subject: Subject) -> Iterator[Case]:
  """In float64, along random directions, against central differences."""
  with jax.enable_x64(True):
    x = subject.inputs()
    here = jax.tree.map(np.asarray, (subject.perturbed(), x))
    rng = np.random.default_rng(5)

    def like(leaf: Any) -> Any:
      return rng.normal(size=leaf.shape).astype(leaf.dtype)

    mix = like(x)

    def run(inputs: Any) -> tuple[float, Any]:
      at = positions_of(*x.shape[:2])
      y, gradient = subject.gradient(inputs[1], at, mix, inputs[0])
      return float((mix * y).sum()), gradient

    gradient = run(here)[1]
    moves = (
      ("the parameters", (jax.tree.map(like, here[0]), np.zeros_like(x))),
      ("the inputs", (jax.tree.map(np.zeros_like, here[0]), like(x))),
    )
    for what, move in moves:
      dots = jax.tree.map(lambda g, m: np.sum(g * m), gradient, move)
      slope = float(sum(jax.tree.leaves(dots)))
      values = [
        run(jax.tree.map(lambda a, m, n=n: a + n * STEP * m, here, move))[0]
        for n in (-2, -1, 1, 2)
      ]
      measured = np.dot(values, (1, -8, 8, -1)) / (12 * STEP)  # Of fourth order.
      error = abs(slope - measured) / (abs(measured) + 1e-3)
      yield Case(f"float64, T={SHORT}, along {what}", error, 1e-5)


@law(
  "bfloat16 errs by its own rounding",
  "scores, a softmax or a running sum is computed in 16 bits",
)
def bfloat16_errs_little(subject: Subject) -> Iterator[Case]:
  """Its error is a small multiple of what rounding inputs and parameters alone does."""
  f = subject.functions()
  params, x = subject.initial(), subject.inputs()
  at = positions_of(*x.shape[:2])
  exact = subject.run(x, at, params)
  low, narrow = cast_to(jnp.bfloat16, params), x.astype(jnp.bfloat16)
  y = f.apply(low, narrow, narrow, subject.mask(at))
  yield Case(f"the output is {y.dtype}", y.dtype != jnp.bfloat16, 0.0)
  rounded = subject.run(narrow.astype(jnp.float32), at, cast_to(jnp.float32, low))
  own = max(distance(rounded, exact), 2.0**-8)
  yield Case(f"T={SHORT}, over the rounding's own error", distance(y, exact) / own, 8.0)


@law(
  "large inputs give finite numbers",
  "an exponential without its maximum taken off, or a square that overflows",
)
def large_is_finite(subject: Subject) -> Iterator[Case]:
  """Outputs and gradients at inputs 100 times as large."""
  x = subject.inputs(scale=100.0)
  for called, params in subject.parameters():
    found = subject.gradient(x, positions_of(2, SHORT), np.ones_like(x), params)
    leaves = jax.tree.leaves(found)
    bad = sum(not np.isfinite(leaf).all() for leaf in leaves)
    yield Case(f"{called} parameters, values or gradients not finite", bad, 0.0)


@law(
  "it starts at a sane scale",
  "a missing 1/√K, a sum where a mean belongs, or an initialisation of the wrong width",
)
def starts_in_range(subject: Subject) -> Iterator[Case]:
  """For unit inputs at 128 wide: the output's standard deviation is 0.01 to 10, and the
  largest weight, where weights are shown, is far from 1."""
  wide = Subject(str(subject.spec), subject.build, Sizes(2, 64, 128))
  x = wide.inputs(length=48)
  mask = wide.mask(positions_of(*x.shape[:2]))
  f = wide.functions(())
  given = (wide.initial(f), x, x, mask)
  y, shown = f.shown(*given)
  y = np.asarray(y)
  for called, rows in (("the first token", y[:, :1]), ("the last tokens", y[:, 24:])):
    size = float(np.std(rows))
    outside = max(size / 10, 0.01 / max(size, 1e-30))
    yield Case(f"{called}: standard deviation {size:.2g}", outside, 1.0)
  for weights in map(np.asarray, shown):
    many = (weights > 0).sum(axis=-1) >= 24  # Among few, one may well stand out.
    if many.any():
      largest = float(weights.max(axis=-1)[many].mean())
      yield Case("the largest of 24 to 48 weights, on average", largest, 0.7)


@law("the same twice", "a hidden random number, or state that outlives a call")
def is_deterministic(subject: Subject) -> Iterator[Case]:
  """Two calls, without a random key, give the same bits."""
  x = subject.inputs()
  y, again = subject.run(x), subject.run(x)
  yield Case(f"T={SHORT}, two calls differ", not np.array_equal(y, again), 0.0)


@law(
  "compiled equals eager",
  "a Python branch on a value, or numpy where jax.numpy belongs",
)
def jit_is_eager(subject: Subject) -> Iterator[Case]:
  """Compiling changes nothing but rounding."""
  x = subject.inputs()
  with jax.disable_jit():
    eager = subject.run(x)
  yield Case(f"T={SHORT}", distance(subject.run(x), eager), 2e-5)


@law(
  "vmap and pmap change nothing",
  "a reshape or an axis counted from the front, or a custom operation without a rule",
)
def maps_change_nothing(subject: Subject) -> Iterator[Case]:
  """Two further leading axes, mapped over the devices and on each of them."""
  f, params = subject.functions(), subject.perturbed()
  at = positions_of(2, SHORT)

  def apply(x: jax.Array) -> Any:
    return f.apply(params, x, x, subject.mask(at))

  devices, count = min(2, jax.local_device_count()), 2
  x = np.stack([subject.inputs(seed=i) for i in range(devices * count)])
  expected = np.stack([subject.run(one) for one in x])
  y = np.asarray(jax.pmap(jax.vmap(apply))(x.reshape(devices, count, *x.shape[1:])))
  what = f"pmap over {devices} of vmap over {count}"
  yield Case(what, distance(y.reshape(expected.shape), expected), 2e-5)
