"""Precision: bfloat16 near rounding error, and finite results for large inputs."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.conformance.inputs import (
  LONG,
  SHORT,
  cast_to,
  infinite,
  positions_of,
)
from attention_lab.conformance.law import Case, law
from attention_lab.conformance.sizes import WIDE
from attention_lab.conformance.subject import Subject, fast_jit

# Errors of q·k average out over a wide head, so that rounding of scores, exponentials and
# sums shows.
# Length, scale of the inputs, and limit of the error over the rounding error. Built-in
# attentions reach 1.6 in both; a softmax in bfloat16 2.3 and 6.8, a running sum 34.
CASES = ((LONG, 3.0, 2.15), (1_024, 1.0, 3.0))
STEPS = (
  512  # Single tokens to decode, over which a state in 16 bits loses its last bits.
)


@law(
  "the bfloat16 error is near rounding error",
  "scores, a softmax or a running sum is computed in 16 bits",
)
def bfloat16_is_accurate(subject: Subject) -> Iterator[Case]:
  """Limit the bfloat16 error to a multiple of that of rounding inputs and parameters."""
  yield Case("the output is not bfloat16", partial(_changes_dtype, subject), 0.0)
  few = partial(_bfloat16_error, subject, SHORT, 1.0)
  yield Case(f"T={SHORT}, error over rounding error", few, 8.0)
  for length, scale, limit in CASES if subject.full else CASES[:1]:
    if length <= subject.reach:
      case = f"T={length}, {WIDE}, error over rounding error"
      yield Case(case, partial(_wide_error, subject, length, scale), limit)
  if subject.full and subject.decodes and subject.reach >= STEPS:
    case = f"{STEPS} tokens decoded one by one, {WIDE}, error over rounding error"
    yield Case(case, partial(_decoded_error, subject), 3.0)


def _changes_dtype(subject: Subject) -> bool:
  params = cast_to(jnp.bfloat16, subject.initial_parameters())
  x = subject.inputs().astype(jnp.bfloat16)
  mask = subject.mask(positions_of(*x.shape[:2]))
  y = jax.eval_shape(subject.plain_functions().apply, params, x, mask)
  return bool(y.dtype != jnp.bfloat16)


def _wide_error(subject: Subject, length: int, scale: float) -> float:
  return _bfloat16_error(subject.variant(WIDE), length, scale)


def _decoded_error(subject: Subject) -> float:
  wide = subject.variant(WIDE)
  return _bfloat16_error(wide, STEPS, 1.0, partial(_decode_one_by_one, wide))


def _decode_one_by_one(subject: Subject, params: Any, x: Any, positions: Any) -> Any:
  """Return the outputs of single tokens, each read by `extend`."""
  f = subject.plain_functions()

  def decode(params: Any, x: jax.Array, positions: jax.Array) -> jax.Array:
    def step(state: Any, token: Any) -> Any:
      vector, position = token
      y, state = f.extend(params, vector[:, None], state, position[:, None])
      return state, y[:, 0]

    state = f.initial_state(params, *x.shape[:2], x.dtype)
    tokens = jnp.moveaxis(x, 1, 0), jnp.moveaxis(positions, 1, 0)
    return jnp.moveaxis(jax.lax.scan(step, state, tokens)[1], 0, 1)

  return fast_jit(decode)(params, x, positions)


def _full_pass(subject: Subject, params: Any, x: Any, positions: Any) -> Any:
  return subject.functions().apply(params, x, subject.mask(positions))


def _bfloat16_error(
  subject: Subject,
  length: int,
  scale: float,
  run: Callable[[Any, Any, Any], Any] | None = None,
) -> float:
  """Return the error of bfloat16 over the error that rounding alone causes.

  Args:
    subject: the attention.
    length: tokens.
    scale: scale of the inputs.
    run: computes outputs of parameters, x and positions; None for the full pass.

  The errors are root mean squares over the second half of the tokens, where errors of
  running sums are largest. The reference computes in float32 with rounded inputs and
  parameters.
  """
  params = subject.initial_parameters()
  x = subject.inputs(1, length, scale=scale)
  positions = positions_of(*x.shape[:2])
  low_params, low = cast_to(jnp.bfloat16, params), x.astype(jnp.bfloat16)
  rounded_params = cast_to(jnp.float32, low_params)
  exact = subject.run(x, positions, params)
  rounded = subject.run(low.astype(jnp.float32), positions, rounded_params)
  run = run or partial(_full_pass, subject)
  y = np.asarray(run(low_params, low, jnp.asarray(positions)), np.float32)
  late = slice(length // 2, None)
  rounding = _size((rounded - exact)[:, late]) / (_size(exact[:, late]) + 1e-30)
  error = _size((y - rounded)[:, late]) / (_size(rounded[:, late]) + 1e-30)
  return error / max(rounding, 2.0**-8)


def _size(y: np.ndarray) -> float:
  """Return the root mean square."""
  return float(np.sqrt(np.square(y.astype(np.float64)).mean()))


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
    yield Case(case, partial(_not_finite, gradient), 0.0)
    if subject.reach >= LONG:
      output = partial(
        subject.run, subject.inputs(length=LONG, scale=100.0), None, params
      )
      case = f"T={LONG}, {label} parameters, outputs not finite"
      yield Case(case, partial(_not_finite, output), 0.0)


def _not_finite(run: Callable[[], Any]) -> float:
  return infinite(run())
