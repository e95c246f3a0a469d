"""Claims of an attention: sizes, options, honoured hooks and linear cost."""

import dataclasses
import inspect
import typing
from collections.abc import Iterator
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.attention.base.attention import SAME_RESULT, attentions
from attention_lab.benchmark.flops import traced_flops
from attention_lab.conformance.law import Case, law
from attention_lab.conformance.subject import (
  LONG,
  MAX_LENGTH,
  SCHEMES,
  Sizes,
  Subject,
  distance,
  positions_of,
)
from attention_lab.errors import UserError
from attention_lab.plugin import spec as specs

ODD_SIZES = (Sizes(1, 1, 1), Sizes(2, 3, 6), Sizes(3, 5, 15))
# Lengths between which linear cost is measured. At both, everything that depends on the
# length, such as segments of a recurrence, is in use.
LENGTHS = (4_096, 16_384)


@law(
  "odd sizes work",
  "a size is assumed to be even, a power of two, or greater than 1",
)
def odd_sizes_work(subject: Subject) -> Iterator[Case]:
  """Require finite outputs [B, T, D] for 1 and for odd heads, widths and lengths."""
  yield _finite(subject, 1)
  for sizes in ODD_SIZES:
    try:
      yield _finite(Subject(str(subject.spec), subject.build, sizes), 5)
    except UserError as error:  # The attention refuses these sizes explicitly.
      yield Case(f"{sizes} refused: {error}", 0.0, 0.0)


@law(
  "sequences longer than in training work",
  "a table or projection has as many rows as a training example has tokens",
)
def longer_sequences_work(subject: Subject) -> Iterator[Case]:
  """Require finite outputs beyond `max_length`, or a UserError."""
  yield _finite(subject, LONG)


@law(
  "every option has an effect",
  "the option is accepted but never read, or `metadata=SAME_RESULT` is missing or wrong",
)
def options_have_an_effect(subject: Subject) -> Iterator[Case]:
  """Require that another value of each option changes outputs, gradients or parameters.

  An option marked SAME_RESULT must change none of them.
  """
  fields = {field.name: field for field in dataclasses.fields(subject_class(subject))}
  for name, parameter in attentions.options(subject.spec.name).items():
    same = SAME_RESULT.items() <= fields[name].metadata.items()
    values = other_values(subject, name, parameter)
    if changes := _changes(subject, name, values, same):
      change, value = max(changes, key=lambda pair: pair[0])
      if same:
        yield Case(f"{name}={value!r} changes the result", change, 1e-4)
      else:
        yield Case(f"{name}={value!r} has no effect", change == 0, 0.0)


def _changes(
  subject: Subject, name: str, values: list[Any], same: bool
) -> list[tuple[float, Any]]:
  """Return how much values of an option change the result, each with its value.

  Two values are measured if the option is to change nothing (`same`). Otherwise, the
  first value that has an effect is the last to be measured.
  """
  changes: list[tuple[float, Any]] = []
  for value in values:
    spec = specs.Spec(subject.spec.name, {**subject.spec.options, name: value})
    try:
      other = Subject(str(spec), sizes=subject.sizes)
      changes.append((_difference(subject, other), value))
    except UserError:  # The value does not fit the sizes or the other options.
      continue
    if len(changes) == 2 if same else changes[-1][0] > 0:
      break
    if not same and _initial_bytes(subject) != _initial_bytes(other):
      changes.append((1.0, value))
      break
  return changes


@law(
  "honoured rotation and bias have an effect",
  "`honours` names a hook, but the attention does not use the hook's result",
)
def schemes_have_an_effect(subject: Subject) -> Iterator[Case]:
  """Require that each honoured rotation or bias changes the output."""
  x = subject.inputs()
  mask = subject.mask(positions_of(*x.shape[:2]))
  y = subject.run(x)
  for hook in subject.hooks:
    f = subject.functions(tuple(other for other in subject.hooks if other != hook))
    without = f.apply(subject.random_parameters(f), x, x, mask)
    yield Case(f"{hook} is honoured and ignored", np.allclose(y, without), 0.0)


def _unless_linear(subject: Subject) -> str:
  return "" if subject.linear_time else "linear_time is not set"


@law(
  "time and memory grow linearly",
  "an array [T, S] is formed, or a loop carries a value that grows with the length",
  _unless_linear,
)
def cost_grows_linearly(subject: Subject) -> Iterator[Case]:
  """Compare FLOPs and bytes of the compiled program at 4,096 and 16,384 tokens."""
  f, params = subject.functions(), subject.random_parameters()
  flops, memory = [], []
  for length in LENGTHS:
    x = jax.ShapeDtypeStruct((1, length, subject.sizes.d_model), jnp.float32)

    def total(params: Any, x: jax.Array) -> jax.Array:
      mask = subject.mask(positions_of(*x.shape[:2]), aligned=True)
      return f.apply(params, x, x, mask).sum()

    gradient = jax.jit(jax.grad(total, argnums=(0, 1))).trace(params, x)
    flops.append(traced_flops(gradient.jaxpr))
    analysis = gradient.lower().compile().memory_analysis()
    memory.append(analysis.temp_size_in_bytes if analysis else 0)
  growth = LENGTHS[1] / LENGTHS[0]
  for unit, (short, long) in (("FLOPs", flops), ("bytes", memory)):
    yield Case(f"{unit} at {growth:.0f} times the tokens", long / short, 1.3 * growth)


def subject_class(subject: Subject) -> Any:
  """Return the registered class of the attention."""
  return attentions[subject.spec.name]


def other_values(
  subject: Subject, name: str, parameter: inspect.Parameter
) -> list[Any]:
  """Return other values that an option may take, from its type, default and value."""
  value = subject.spec.options.get(name, parameter.default)
  annotation = typing.get_type_hints(subject_class(subject)).get(name, Any)
  types = typing.get_args(annotation) or (annotation,)
  choices = [choice for type_ in types for choice in _listed_values(type_)]
  if isinstance(value, bool):
    choices = [not value]
  elif isinstance(value, int):
    choices += [1, 2, max(1, value // 2), value + 1, 2 * value, 3]
  elif isinstance(value, float):
    choices += [value / 2, value + 0.25, 2 * value, 1 - value]
  elif value is None:
    choices += [1, 2, 4, 0.5]
  return [choice for choice in dict.fromkeys(choices) if choice != value]


def _listed_values(annotation: Any) -> list[Any]:
  """Return the values that a type annotation lists."""
  if typing.get_origin(annotation) is typing.Literal:
    return list(typing.get_args(annotation))
  if annotation is bool:
    return [True, False]
  is_type = isinstance(annotation, type) or annotation in (Any, type(None))
  return [] if is_type else [annotation]


def _finite(subject: Subject, length: int) -> Case:
  x = subject.inputs(length=length)
  f = subject.functions(() if subject.sizes.key_size % 2 else None)
  mask = subject.mask(positions_of(*x.shape[:2]))
  y = np.asarray(f.apply(subject.random_parameters(f), x, x, mask))
  label = f"T={length}, {subject.sizes}: shape {y.shape}, or not finite"
  return Case(label, y.shape != x.shape or not np.isfinite(y).all(), 0.0)


def _difference(before: Subject, after: Subject) -> float:
  """Return the distance of two outputs; infinity if the parameters differ in shape."""
  if _shapes(before) != _shapes(after):
    return float("inf")
  return distance(_output(after), _output(before))


def _shapes(subject: Subject) -> Any:
  return jax.tree.map(jnp.shape, subject.random_parameters())


def _output(subject: Subject) -> Any:
  """Return the output for large random parameters and a random key."""
  return subject.cached("output", lambda: _output_with_key(subject))


def _output_with_key(subject: Subject) -> jax.Array:
  x = subject.inputs(1, LONG)
  mask = subject.mask(positions_of(1, LONG))

  def run(x: jax.Array) -> jax.Array:
    scheme = SCHEMES[subject.hooks](max_length=MAX_LENGTH)
    return subject.build(scheme, subject.sizes)(x, x, mask)

  apply = jax.jit(hk.transform(run).apply)
  return apply(subject.random_parameters(), jax.random.key(7), x)


def _initial_bytes(subject: Subject) -> list[bytes]:
  """Return the bytes of each initial parameter."""
  leaves = jax.tree.leaves(subject.initial_parameters())
  return [np.asarray(leaf).tobytes() for leaf in leaves]
