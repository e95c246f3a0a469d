"""Gradients: correct for every input and parameter, and finite for special tokens."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.conformance.causality import is_random
from attention_lab.conformance.cross_attention import cross_mask
from attention_lab.conformance.inputs import (
  BATCH,
  LONG,
  SHORT,
  cast_to,
  infinite,
  positions_of,
)
from attention_lab.conformance.law import Case, Error, Note, law
from attention_lab.conformance.padding import padded
from attention_lab.conformance.subject import Subject

# Step size of the finite differences, and the limit of the relative error. Where a part is
# computed in float32, its rounding errors need a larger step.
FLOAT64, FLOAT32 = (1e-6, 1e-5), (2e-3, 1e-2)
LOW_LIMIT = 16.0  # Error of a gradient in bfloat16, over that of rounding alone.
TINY = 1e-8  # Relative change, below the rounding error of float32.
DIRECTIONS = 2  # In which the gradient by one input or parameter is compared.


class Inputs(NamedTuple):
  """Inputs for which the gradient is compared."""

  label: str
  positions: np.ndarray  # [B, T], of the context in cross-attention
  aligned: bool = False
  queries: int = 0  # Number of queries in cross-attention; 0 for self-attention.
  key: bool = False  # Whether there is a random key, in self-attention.


def _unless_smooth(subject: Subject) -> str:
  return "" if subject.smooth else "smooth = False is declared"


@law(
  "the gradient is correct",
  "a hand-written gradient, a stop_gradient, or an operation that is not smooth",
  _unless_smooth,
)
def gradient_is_correct(subject: Subject) -> Iterator[Case | Note]:
  """Compare the gradient with central differences, by each input and each parameter.

  Both are computed in float64. If the attention computes a part in float32, or keeps
  parameters in float32, larger steps and a larger limit are used.
  """
  with jax.enable_x64(True):
    low = _computes_in_float32(subject)
    step, limit = FLOAT32 if low else FLOAT64
    if low:
      yield Note(
        f"a part is computed in float32, so gradients are tested to {limit:.0e} only"
      )
    for inputs in _inputs(subject):
      gradient = Gradient(subject, inputs)
      for name in gradient.names:
        yield Case(
          f"{inputs.label}, by {name}", partial(gradient.error, name, step), limit
        )
  if subject.full:
    low_error = partial(_bfloat16_error, subject)
    yield Case(f"T={SHORT}, bfloat16, error over rounding error", low_error, LOW_LIMIT)


def _bfloat16_error(subject: Subject) -> Error:
  """Return the error of gradients in bfloat16 over that of rounding alone, and where.

  As in the law on outputs, the reference computes in float32 with rounded inputs and
  parameters. The norms are of each input and each parameter.
  """
  exact = subject.inputs(), subject.initial_parameters()
  low = cast_to(jnp.bfloat16, exact)
  positions, w = positions_of(BATCH, SHORT), subject.inputs(seed=5)

  def gradients(dtype: Any, values: Any) -> Any:
    x, params = cast_to(dtype, values)
    found = subject.gradient(x, positions, w.astype(dtype), params)[1]
    return jax.tree.leaves_with_path(found)

  actual = gradients(jnp.bfloat16, low)
  rounded, expected = (gradients(jnp.float32, each) for each in (low, exact))
  worst, where = 0.0, ""
  for (path, y), (_, reference), (_, other) in zip(
    actual, rounded, expected, strict=True
  ):
    size = float(np.linalg.norm(reference)) + 1e-30
    rounding = float(np.linalg.norm(reference - other)) / size
    error = float(np.linalg.norm(y.astype(np.float32) - reference)) / size
    ratio = error / max(rounding, 2.0**-7)
    if ratio > worst:
      worst, where = ratio, f"by {jax.tree_util.keystr(path)}"
  return worst, where


def _inputs(subject: Subject) -> Iterator[Inputs]:
  """Yield inputs to compare gradients for; the smallest come first."""
  front = padded(SHORT, "in front")[None]
  if "causal" in subject.kinds or "bidirectional" in subject.kinds:
    yield Inputs(f"T={SHORT}", positions_of(1, SHORT))
    if subject.takes_padding:
      yield Inputs(f"T={SHORT}, padding in front", front)
    if subject.full and subject.reach >= LONG:
      yield Inputs(f"T={LONG}, aligned", positions_of(1, LONG), aligned=True)
    if subject.full and is_random(subject):
      yield Inputs(f"T={SHORT}, random key", positions_of(1, SHORT), key=True)
  if "cross" in subject.kinds and subject.full:
    yield Inputs(f"T=3, S={SHORT}, padding in front", front, queries=3)


class Gradient:
  """The gradient of a random projection of the outputs, in float64.

  Args:
    subject: the attention.
    inputs: what it is computed for.
  """

  def __init__(self, subject: Subject, inputs: Inputs):
    self._subject, self._inputs = subject, inputs
    length, queries = inputs.positions.shape[1], inputs.queries
    x = subject.inputs(1, length)
    self._w = np.random.default_rng(5).normal(size=(1, queries or length, x.shape[-1]))
    params = jax.tree.map(np.asarray, subject.random_parameters())
    tokens = (subject.inputs(1, queries, seed=8), x) if queries else (x,)
    leaves = jax.tree.leaves_with_path(params)
    self._point = (params, *tokens)
    self._gradient: Any = None
    inputs_names = ("the queries", "the context") if queries else ("the inputs",)
    self._places: dict[str, tuple[Any, ...]] = dict(
      zip(inputs_names, ((i + 1, None) for i in range(len(tokens))), strict=True)
    )
    for i, (path, _) in enumerate(leaves):
      self._places["/".join(str(getattr(key, "key", key)) for key in path)] = (0, i)

  @property
  def names(self) -> list[str]:
    """Names of the inputs and parameters."""
    return list(self._places)

  def error(self, name: str, step: float) -> float:
    """Return the relative error of the gradient by one input or parameter.

    It is the least of those along some directions: a direction may cross a kink, such as
    that of relu, where finite differences are wrong.
    """
    return min(self._error(name, step / 4**seed, seed) for seed in range(DIRECTIONS))

  def _error(self, name: str, step: float, seed: int) -> float:
    argument, leaf = self._places[name]
    rng = np.random.default_rng(seed)

    def perturbed(size: float, direction: np.ndarray) -> tuple[Any, np.ndarray]:
      """Return the point moved by `size` · direction, and the rounded movement."""
      point = list(self._point)
      leaves, tree = jax.tree.flatten(point[argument])
      index = leaf or 0
      moved = (leaves[index] + size * direction).astype(leaves[index].dtype)
      movement = moved.astype(np.float64) - leaves[index]
      leaves[index] = moved
      point[argument] = jax.tree.unflatten(tree, leaves)
      return tuple(point), movement

    value = jax.tree.leaves(self._point[argument])[leaf or 0]
    direction = rng.normal(size=value.shape)
    if self._gradient is None:
      self._gradient = self._run(self._point)[1]
    own = np.asarray(jax.tree.leaves(self._gradient[argument])[leaf or 0], np.float64)
    values, slopes = [], []
    for n in (-2, -1, 1, 2):
      point, movement = perturbed(n * step, direction)
      values.append(self._run(point)[0])
      slopes.append(float((own * movement).sum()))
    # Fourth order; the rounded movements replace the step size.
    expected = np.dot(values, (1, -8, 8, -1)) / (12 * step)
    slope = np.dot(slopes, (1, -8, 8, -1)) / (12 * step)
    # A random direction may be nearly orthogonal to the gradient.
    size = max(abs(expected), float(np.linalg.norm(own)))
    return abs(slope - expected) / (size + 1e-3)

  def _run(self, point: Any) -> tuple[float, Any]:
    """Return the projection of the outputs, and its gradients by all arguments."""
    inputs, f = self._inputs, self._subject.functions()
    params, *tokens = point
    if inputs.queries:
      mask = cross_mask(inputs.queries, inputs.positions)
      y, gradients = f.cross_gradient(params, *tokens, mask, self._w)
    else:
      mask = self._subject.mask(jnp.asarray(inputs.positions), inputs.aligned)
      key = jax.random.key(5) if inputs.key else None
      y, gradients = f.gradient(params, *tokens, mask, self._w, key)
    return float((self._w * np.asarray(y)).sum()), gradients


def _computes_in_float32(subject: Subject) -> bool:
  """Return whether float64 inputs meet float32 parameters or operations.

  Outputs in float64 change in proportion to a tiny change of inputs and parameters, which
  is less than what float32 rounds.
  """
  params = subject.random_parameters()
  if any(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params)):
    return True
  f, x = subject.functions(), subject.inputs(1)
  mask = subject.mask(positions_of(1, SHORT))

  def change(size: float) -> np.ndarray:
    moved = jax.tree.map(lambda leaf: (1 + size) * leaf, (params, x))
    return np.asarray(f.apply(*moved, mask)) - np.asarray(f.apply(params, x, mask))

  once, twice = change(TINY), change(2 * TINY)
  return bool(np.linalg.norm(twice - 2 * once) > 0.01 * np.linalg.norm(twice))


@law(
  "gradients at special tokens are finite",
  "a norm, a square root or a division whose argument may be 0",
)
def gradients_are_finite(subject: Subject) -> Iterator[Case]:
  """Require finite outputs and gradients for a token of zeros and for equal tokens."""
  x = subject.inputs()
  zero, equal = x.copy(), x.copy()
  zero[:, 2] = 0
  equal[:, 3] = equal[:, 2]
  every = {
    "a token of zeros": zero,
    "two equal tokens": equal,
    "all tokens equal": np.repeat(x[:, :1], SHORT, axis=1),
    "all tokens zero": np.zeros_like(x),
  }
  for label, tokens in every.items():
    for name, params in subject.labelled_parameters():
      case = f"T={SHORT}, {label}, {name} parameters, outputs or gradients not finite"
      yield Case(case, partial(_infinite, subject, tokens, params), 0.0)


def _infinite(subject: Subject, x: np.ndarray, params: Any) -> float:
  """Return how many arrays among output and gradients are not finite."""
  positions = positions_of(*x.shape[:2])
  result = subject.gradient(x, positions, np.ones_like(x), params)
  return infinite(result)
