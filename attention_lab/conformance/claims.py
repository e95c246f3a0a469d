"""Claims: options, positional schemes, sizes, and time that grows linearly."""

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
  SCHEMES,
  TRAINED,
  Sizes,
  Subject,
  distance,
  positions_of,
)
from attention_lab.errors import UserError
from attention_lab.plugin import spec as specs

ODD = (Sizes(1, 1, 1), Sizes(2, 3, 6), Sizes(3, 5, 15))
# Between these a linear claim is measured: long enough for all that changes with length,
# such as a recurrence that goes by segments, to be the same at both.
LENGTHS = (4_096, 16_384)


@law(
  "odd sizes work",
  "a size is assumed to be even, a power of two, or more than 1",
)
def odd_sizes_work(subject: Subject) -> Iterator[Case]:
  """Finite outputs of the right shape for 1 and odd heads, widths and lengths."""
  yield _finite(subject, 1)
  for sizes in ODD:
    try:
      yield _finite(Subject(str(subject.spec), subject.build, sizes), 5)
    except UserError as error:  # It says so itself.
      yield Case(f"{_called(sizes)} refused: {error}", 0.0, 0.0)


@law(
  "longer than in training works",
  "a table or a projection has as many rows as a training example has tokens",
)
def longer_works(subject: Subject) -> Iterator[Case]:
  """Finite outputs beyond `max_length`, or a refusal in plain words."""
  yield _finite(subject, LONG)


@law(
  "every option does something",
  "the option is accepted and never read, or `metadata=SAME_RESULT` is missing or wrong",
)
def options_do_something(subject: Subject) -> Iterator[Case]:
  """Some other value changes output, gradient or parameters; SAME_RESULT changes none."""
  fields = {field.name: field for field in dataclasses.fields(subject_class(subject))}
  for name, parameter in attentions.options(subject.spec.name).items():
    same = SAME_RESULT.items() <= fields[name].metadata.items()
    changes: list[tuple[float, Any]] = []
    for value in _others(subject, name, parameter):
      spec = specs.Spec(subject.spec.name, {**subject.spec.options, name: value})
      try:
        other = Subject(str(spec), sizes=subject.sizes)
        changes.append((_changed(subject, other), value))
      except UserError:  # Not with these sizes or other options.
        continue
      if len(changes) == 2 if same else changes[-1][0] > 0:
        break
      if not same and _initial(subject) != _initial(other):
        changes.append((1.0, value))
        break
    if changes:
      change, value = max(changes, key=lambda pair: pair[0])
      what = f"{name}={value!r} changes {'the' if same else 'nothing in the'} result"
      yield Case(what, change if same else change == 0, 1e-4 if same else 0.0)


@law(
  "every honoured scheme does something",
  "`honours` names a hook whose result is not used: the rotation or bias is ignored",
)
def schemes_do_something(subject: Subject) -> Iterator[Case]:
  """Rotating, and adding a bias, change the output wherever they are honoured."""
  x = subject.inputs()
  mask = subject.mask(positions_of(*x.shape[:2]))
  y = subject.run(x)
  for hook in subject.hooks:
    f = subject.functions(tuple(other for other in subject.hooks if other != hook))
    without = f.apply(subject.perturbed(f), x, x, mask)
    yield Case(f"{hook} is honoured and ignored", np.allclose(y, without), 0.0)


def _claims_linear(subject: Subject) -> str:
  return "" if subject.linear_time else "it does not claim it"


@law(
  "time and memory grow linearly",
  "an array of T x S is formed after all, or a loop carries what grows",
  _claims_linear,
)
def grows_linearly(subject: Subject) -> Iterator[Case]:
  """FLOPs, and bytes of the compiled program, from 4,096 to 16,384 tokens."""
  f, params = subject.functions(), subject.perturbed()
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
  times = LENGTHS[1] / LENGTHS[0]
  for what, (less, more) in (("FLOPs", flops), ("bytes", memory)):
    yield Case(f"{what} at {times:.0f} times the tokens", more / less, 1.3 * times)


def subject_class(subject: Subject) -> Any:
  """The class that the subject's name stands for."""
  return attentions[subject.spec.name]


def _finite(subject: Subject, length: int) -> Case:
  x = subject.inputs(length=length)
  f = subject.functions(() if subject.sizes.key_size % 2 else None)
  mask = subject.mask(positions_of(*x.shape[:2]))
  y = np.asarray(f.apply(subject.perturbed(f), x, x, mask))
  what = f"T={length}, {_called(subject.sizes)}: shape {y.shape}, or not finite"
  return Case(what, y.shape != x.shape or not np.isfinite(y).all(), 0.0)


def _called(sizes: Sizes) -> str:
  return f"{sizes.num_heads} heads of {sizes.key_size}, {sizes.d_model} wide"


def _changed(before: Subject, after: Subject) -> float:
  """How far two outputs are apart; infinitely if the parameters differ in shape."""
  if _shapes(before) != _shapes(after):
    return float("inf")
  return distance(_output(after), _output(before))


def _shapes(subject: Subject) -> Any:
  return jax.tree.map(jnp.shape, subject.perturbed())


def _output(subject: Subject) -> Any:
  """Of large random parameters, under a random key."""
  return subject.once("output", lambda: _under_a_key(subject))


def _under_a_key(subject: Subject) -> jax.Array:
  x = subject.inputs(1, LONG)
  mask = subject.mask(positions_of(1, LONG))

  def run(x: jax.Array) -> jax.Array:
    scheme = SCHEMES[subject.hooks](max_length=TRAINED)
    return subject.build(scheme, subject.sizes)(x, x, mask)

  apply = jax.jit(hk.transform(run).apply)
  return apply(subject.perturbed(), jax.random.key(7), x)


def _initial(subject: Subject) -> list[bytes]:
  """The parameters that training starts with, bit for bit."""
  return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(subject.initial())]


def _others(subject: Subject, name: str, parameter: inspect.Parameter) -> list[Any]:
  """Other values that an option might take, read off its type and default."""
  now = subject.spec.options.get(name, parameter.default)
  hint = typing.get_type_hints(subject_class(subject)).get(name, Any)
  choices = [
    choice for part in (typing.get_args(hint) or (hint,)) for choice in _of(part)
  ]
  if isinstance(now, bool):
    choices = [not now]
  elif isinstance(now, int):
    choices += [1, 2, max(1, now // 2), now + 1, 2 * now, 3]
  elif isinstance(now, float):
    choices += [now / 2, now + 0.25, 2 * now, 1 - now]
  elif now is None:
    choices += [1, 2, 4, 0.5]
  return [value for value in dict.fromkeys(choices) if value != now]


def _of(part: Any) -> list[Any]:
  """Values of a type annotation that lists them."""
  if typing.get_origin(part) is typing.Literal:
    return list(typing.get_args(part))
  if part is bool:
    return [True, False]
  return [] if isinstance(part, type) or part in (Any, type(None)) else [part]
