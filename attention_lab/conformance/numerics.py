"""Numerical properties: initial scale, determinism and JAX's transformations."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from attention_lab.conformance import process
from attention_lab.conformance.causality import ROUNDING
from attention_lab.conformance.inputs import LONG, SHORT, distance, positions_of
from attention_lab.conformance.law import Case, Error, Note, law
from attention_lab.conformance.sizes import WIDE
from attention_lab.conformance.subject import Subject
from attention_lab.errors import UserError

FAR = 512  # Tokens, over which a sum without a mean grows.


@law(
  "the initial scale is reasonable",
  "1/√K is missing, a sum is used for a mean, or an initialisation has the wrong width",
)
def initial_scale_is_reasonable(subject: Subject) -> Iterator[Case | Note]:
  """Limit the scale of initial outputs and weights, for unit inputs and wide models.

  The standard deviation of the outputs must be 0.01 to 10. If weights are available, the
  largest weight of each row of at least 24 must be at most 0.7 on average.
  """
  try:
    wide = subject.variant(WIDE)
  except UserError as error:
    yield Note(f"it was tested with {subject.sizes}: {error}")
    wide = subject
  if subject.full and subject.reach >= FAR:
    far = partial(_late_scale, wide)
    yield Case(f"T={FAR}, the last tokens", far, 1.0)
  x = wide.inputs(2, length=48)
  mask = wide.mask(positions_of(*x.shape[:2]))
  f = wide.functions(())
  y, weights = f.weights(wide.initial_parameters(f), x, mask)
  y = np.asarray(y)
  parts = {"the first token": y[:, :1]} if subject.sees_itself else {}
  for label, rows in (parts | {"the last tokens": y[:, 24:]}).items():
    deviation = float(np.std(rows))
    name = f"{label}: standard deviation {deviation:.2g}"
    yield Case(name, _outside(deviation), 1.0)
  for layer in map(np.asarray, weights):
    many = (layer > 0).sum(axis=-1) >= 24  # In a short row, one weight may be large.
    if many.any():
      largest = float(layer.max(axis=-1)[many].mean())
      yield Case("mean of the largest of 24 to 48 weights", largest, 0.7)


def _late_scale(wide: Subject) -> Error:
  """Return how far outside its bounds the standard deviation of late outputs is."""
  f, x = wide.functions(()), wide.inputs(1, FAR)
  mask = wide.mask(positions_of(1, FAR), aligned=True)
  y = f.apply(wide.initial_parameters(f), x, mask)
  deviation = float(np.std(np.asarray(y)[:, FAR // 2 :]))
  return _outside(deviation), f"standard deviation {deviation:.2g}"


def _outside(deviation: float) -> float:
  return max(deviation / 10, 0.01 / max(deviation, 1e-30))


@law(
  "outputs are deterministic",
  "a hidden random number, a counter, or state that outlives a call",
)
def outputs_are_deterministic(subject: Subject) -> Iterator[Case | Note]:
  """Require bitwise equal outputs of calls, of traces and of processes.

  No call has a random key. Processes must agree in the initial parameters, too.
  """
  x = subject.inputs()
  y = subject.run(x)
  yield Case(f"T={SHORT}, two calls differ", partial(_differs, subject, x, y), 0.0)
  subject.run(2 * x)
  label = f"T={SHORT}, a call differs after a call with other inputs"
  yield Case(label, partial(_differs, subject, x, y), 0.0)
  label = f"T={SHORT}, a second trace differs"
  yield Case(label, partial(_retraced_differs, subject, x, y), 0.0)
  if not subject.full:
    return
  label = "initial parameters for the same random key differ"
  yield Case(label, partial(_initial_differs, subject), 0.0)
  if (reason := process.obstacle(subject)) is not None:
    yield Note(f"outputs of two processes were not compared: {reason}")
    return
  label = f"T={SHORT}, another process computes other outputs or initial parameters"
  yield Case(label, lambda: process.results_differ(subject, y), 0.0)


def _differs(subject: Subject, x: np.ndarray, y: np.ndarray) -> bool:
  return not np.array_equal(y, subject.run(x))


def _initial_differs(subject: Subject) -> bool:
  """Return whether a second initialisation with the same key gives other parameters."""
  x, mask = subject.inputs(1), subject.mask(positions_of(1, SHORT))
  again = subject.fresh_functions().init(jax.random.key(0), x, mask)
  first = subject.initial_parameters()
  same = jax.tree.map(np.array_equal, first, again)
  return not all(jax.tree.leaves(same))


def _retraced_differs(subject: Subject, x: np.ndarray, y: np.ndarray) -> bool:
  """Return whether the program of another trace computes other outputs."""
  mask = subject.mask(positions_of(*x.shape[:2]))
  again = subject.fresh_functions().apply(subject.random_parameters(), x, mask, None)
  return not np.array_equal(y, again)


def _in_quick(subject: Subject) -> str:
  return "" if subject.full else "it is tested in full depth only"


@law(
  "compiled equals eager",
  "a Python branch on a value, or a numpy function instead of its jax.numpy counterpart",
  _in_quick,
)
def compiled_equals_eager(subject: Subject) -> Iterator[Case]:
  """Require equal outputs, up to rounding, with and without jit."""
  yield Case(f"T={SHORT}", partial(_eager_error, subject), ROUNDING)


def _eager_error(subject: Subject) -> float:
  x = subject.inputs()
  mask = subject.mask(positions_of(*x.shape[:2]))
  params = subject.random_parameters()
  with jax.disable_jit():
    eager = subject.plain_functions().apply(params, x, mask)
  return distance(subject.run(x), eager)


@law(
  "recording the weights changes no output",
  "the path that forms weights computes something else than the kernel",
  _in_quick,
)
def recording_changes_nothing(subject: Subject) -> Iterator[Case]:
  """Require equal outputs, up to rounding, whether or not the weights are recorded."""
  for causal in subject.modes:
    for length in (n for n in (SHORT, LONG) if n <= subject.reach):
      mode = "" if causal else ", bidirectional"
      error = partial(_recording_error, subject, length, causal)
      yield Case(f"T={length}, aligned{mode}", error, 1e-4)


def _recording_error(subject: Subject, length: int, causal: bool) -> float:
  x = subject.inputs(length=length)
  mask = subject.mask(positions_of(*x.shape[:2]), True, causal)
  y, _ = subject.functions().weights(subject.random_parameters(), x, mask)
  return distance(y, subject.run(x, aligned=True, causal=causal))


@law(
  "vmap and pmap do not change outputs",
  "a reshape or an axis counted from the front, or an operation without a batching rule",
)
def mapped_equals_single(subject: Subject) -> Iterator[Case]:
  """Require equal outputs, up to rounding, under pmap over devices and vmap on each."""
  devices, count = min(2, jax.local_device_count()), 2
  label = f"pmap over {devices} of vmap over {count}"
  yield Case(label, partial(_mapped_error, subject, devices, count), ROUNDING)


def _mapped_error(subject: Subject, devices: int, count: int) -> float:
  f, params = subject.plain_functions(), subject.random_parameters()
  x = np.stack([subject.inputs(seed=i) for i in range(devices * count)])
  positions = positions_of(*x.shape[1:3])

  def apply(x: jax.Array) -> Any:
    return f.apply(params, x, subject.mask(positions))

  expected = np.stack([subject.run(inputs) for inputs in x])
  y = np.asarray(jax.pmap(jax.vmap(apply))(x.reshape(devices, count, *x.shape[1:])))
  return distance(y.reshape(expected.shape), expected)
