"""Claims of an attention: sizes, lengths, grouped heads, options and honoured hooks."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.attention.base.attention import SAME_RESULT
from attention_lab.conformance.causality import ROUNDING, WITH_KEY, output
from attention_lab.conformance.inputs import LONG, SHORT, distance, positions_of
from attention_lab.conformance.law import Case, Error, Note, law
from attention_lab.conformance.options import (
  accepted_variants,
  declared_values,
  is_field,
  metadata,
  other_values,
)
from attention_lab.conformance.schemes import MAX_LENGTH
from attention_lab.conformance.sizes import Sizes
from attention_lab.conformance.subject import Subject
from attention_lab.errors import UserError
from attention_lab.position.base.position import Position

# The width of all heads is d_model, or another width.
ODD_SIZES = (Sizes(1, 1, 1), Sizes(2, 3, 6), Sizes(3, 5, 15), Sizes(2, 3, 8))


@law(
  "odd sizes work",
  "a size is assumed to be even, a power of two, greater than 1, or d_model / num_heads",
)
def odd_sizes_work(subject: Subject) -> Iterator[Case]:
  """Require finite outputs [B, T, D] for 1 and for odd heads, widths and lengths.

  The width of all heads together may differ from d_model.
  """
  heads, key_size, d_model = subject.sizes
  wider, larger = (
    Sizes(heads, key_size, 2 * d_model),
    Sizes(heads, 2 * key_size, d_model),
  )
  others = (wider, larger) if subject.full else (wider,)
  yield Case(f"T=1, {subject.sizes}", partial(_failure, subject, subject.sizes, 1), 0.0)
  for sizes in (*ODD_SIZES[0 if subject.full else 2 :], *others):
    yield Case(f"T=5, {sizes}", partial(_failure, subject, sizes, 5), 0.0)


@law(
  "sequences longer than in training work",
  "a table or projection has as many rows as a training example has tokens",
)
def longer_sequences_work(subject: Subject) -> Iterator[Case]:
  """Require finite outputs beyond `max_length`, or a UserError."""
  yield Case(f"T={LONG}", partial(_failure_unless_refused, subject, LONG), 0.0)


def _failure_unless_refused(subject: Subject, length: int) -> Error:
  try:
    return _failure(subject, subject.sizes, length)
  except UserError:
    return 0.0


def _failure(subject: Subject, sizes: Sizes, length: int) -> Error:
  """Return whether an output has another shape, or is not finite.

  Raises:
    UserError: the attention refuses the sizes or the length.
  """
  other = subject if sizes == subject.sizes else subject.variant(sizes)
  x = other.inputs(length=length)
  f = other.functions(() if sizes.key_size % 2 else None)
  mask = other.mask(positions_of(*x.shape[:2]))
  y = np.asarray(f.apply(other.random_parameters(f), x, mask))
  if y.shape != x.shape:
    return 1.0, f"shape {list(y.shape)} instead of {list(x.shape)}"
  return (0.0 if np.isfinite(y).all() else 1.0), "not finite"


def _unless_grouped(subject: Subject) -> str:
  if "num_kv_heads" in subject.values and _query_heads(subject) > 1:
    return ""
  return "it has no option num_kv_heads"


@law(
  "grouped heads share keys and values",
  "key-value heads are repeated in another order, or a cache or shape ignores them",
  _unless_grouped,
)
def grouped_heads_work(subject: Subject) -> Iterator[Case | Note]:
  """Require that heads with shared keys and values equal heads with equal ones.

  Parameters of grouped heads, repeated for every head of their group, must give the same
  outputs without groups, in the pass and while decoding.
  """
  heads = _query_heads(subject)
  some = max(1, heads // 2)
  for groups in dict.fromkeys([some, 1, heads] if subject.full else [some]):
    label = f"num_kv_heads={groups} of {heads} heads"
    yield Case(label, partial(_grouped_error, subject, groups), ROUNDING)


def _query_heads(subject: Subject) -> int:
  """Return the number of heads that may share keys and values."""

  def heads() -> int:
    return subject.build(Position(max_length=MAX_LENGTH), subject.sizes).query_heads

  return int(hk.transform(heads).apply({}, None))


def _grouped_error(subject: Subject, groups: int) -> Error:
  """Return the distance of the outputs with groups from those without."""
  grouped = subject.variant(num_kv_heads=groups)
  heads = _query_heads(subject)
  every = subject.variant(num_kv_heads=heads)
  f, all_heads = grouped.functions(), every.functions()
  params = grouped.random_parameters()
  repeated = _repeated(params, every.random_parameters(), heads, groups)
  if repeated is None:
    return 0.0, "parameters that cannot be repeated"
  x = grouped.inputs()
  positions = positions_of(*x.shape[:2])
  mask = grouped.mask(positions)
  y, expected = f.apply(params, x, mask), all_heads.apply(repeated, x, mask)
  error = distance(y, expected)
  if error > ROUNDING or not grouped.causal:
    return error, "the full pass"
  decoded = f.decode(params, x, positions, (1,) * x.shape[1])
  return distance(decoded, expected), "while decoding"


def _repeated(params: Any, expected: Any, heads: int, groups: int) -> Any:
  """Return parameters with the last axis of G·K repeated to N·K; None if they differ."""
  if str(jax.tree.structure(params)) != str(jax.tree.structure(expected)):
    return None

  def repeat(leaf: jax.Array, wanted: jax.Array) -> jax.Array:
    if leaf.shape == wanted.shape or leaf.shape[-1] % groups:
      return leaf
    split = leaf.reshape(*leaf.shape[:-1], groups, -1)
    repeats = heads // groups
    return jnp.repeat(split, repeats, axis=-2).reshape(*leaf.shape[:-1], -1)

  repeated = jax.tree.map(repeat, params, expected)
  same = jax.tree.map(jnp.shape, repeated) == jax.tree.map(jnp.shape, expected)
  return repeated if same else None


def _unless_options(subject: Subject) -> str:
  return "" if subject.values else "it has no options"


@law(
  "every option has an effect",
  "the option is accepted but never read, or `metadata=SAME_RESULT` is missing or wrong",
  _unless_options,
)
def options_have_an_effect(subject: Subject) -> Iterator[Case | Note]:
  """Require that another value of each option changes outputs, gradients or parameters.

  An option marked SAME_RESULT must change none of them. An option of type str declares
  its values by `Literal`, or in its field's metadata, under "choices".
  """
  for name in subject.values:
    if not is_field(subject, name):
      yield Note(f"option {name} was not tried: it is not a field")
      continue
    for value in declared_values(subject, name):
      label = f"{name}={value!r}, a declared value, is not accepted"
      yield Case(label, partial(_trace, subject, name, value), 0.0)
    same = SAME_RESULT.items() <= metadata(subject, name).items()
    for value in [] if same else declared_values(subject, name):
      if changes := _changes(subject, name, [value], same):
        differs = value == subject.values[name] or changes[0][0] > 0
        yield Case(f"{name}={value!r} has no effect", not differs, 0.0)
    values = other_values(subject, name)
    changes = _changes(subject, name, values, same) if values else []
    if not changes:
      reason = "no value was accepted" if values else "no other values are declared"
      yield Note(f"option {name} was not tried: {reason}")
      continue
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
  for value, other in accepted_variants(subject, name, values):
    try:
      change = _difference(subject, other)
    except UserError:
      continue
    if not same and change == 0:  # It may be an option of evaluation, or of the start.
      change = _difference(subject, other, key=False) or _other_start(subject, other)
    changes.append((change, value))
    if len(changes) == 2 if same else change > 0:
      break
  return changes


def _unless_honouring(subject: Subject) -> str:
  if subject.hooks:
    return ""
  if subject.position is not None:
    return f"--position={subject.position} acts neither by rotation nor by bias on it"
  return "it honours neither rotation nor bias"


@law(
  "honoured rotation and bias have an effect",
  "`honours` names a hook, but the attention does not use the hook's result",
  _unless_honouring,
)
def schemes_have_an_effect(subject: Subject) -> Iterator[Case]:
  """Require that each honoured rotation or bias changes the output.

  A rotation of keys alone must change it, too.
  """
  x = subject.inputs()
  mask = subject.mask(positions_of(*x.shape[:2]))

  def output(hooks: tuple[str, ...]) -> np.ndarray:
    f = subject.functions(hooks)
    return np.asarray(f.apply(subject.random_parameters(f), x, mask))

  def ignored(hooks: tuple[str, ...], without: tuple[str, ...]) -> bool:
    return distance(output(hooks), output(without)) <= ROUNDING

  for hook in subject.hooks:
    others = tuple(other for other in subject.hooks if other != hook)
    unused = partial(ignored, subject.hooks, others)
    yield Case(f"{hook} is honoured and ignored", unused, 0.0)
  if subject.full and {"rotate", "rotate_keys"} <= set(subject.honours):
    unused = partial(ignored, ("rotate_keys",), ())
    yield Case("rotate_keys is honoured and ignored", unused, 0.0)


def _trace(subject: Subject, name: str, value: Any) -> float:
  """Trace a pass with a value of an option; the caller counts exceptions."""
  other = subject.variant(**{name: value})
  f, x = other.plain_functions(), other.inputs()
  mask = other.mask(positions_of(*x.shape[:2]))
  jax.eval_shape(f.init, jax.random.key(0), x, mask)
  return 0.0


def _difference(before: Subject, after: Subject, key: bool = True) -> float:
  """Return the distance of two outputs; infinity if the parameters differ in shape.

  Args:
    before, after: the attentions.
    key: whether they get a random key, as in training.
  """
  params, others = before.random_parameters(), after.random_parameters()
  shapes, other_shapes = (
    [leaf.shape for leaf in jax.tree.leaves(tree)] for tree in (params, others)
  )
  if shapes != other_shapes:
    return float("inf")
  # Another name of a parameter is no effect: both get the same values.
  same = jax.tree.unflatten(jax.tree.structure(others), jax.tree.leaves(params))
  own = partial(_output, before, params, key)
  expected = before.cached(("output", key), own)
  return distance(_output(after, same, key), expected)


def _output(subject: Subject, params: Any, key: bool) -> np.ndarray:
  """Return the output for some parameters, with a random key or without."""
  setup = WITH_KEY._replace(length=min(LONG, subject.reach), key=key)
  return output(subject, setup, params, subject.inputs(length=setup.length))


def _other_start(before: Subject, after: Subject) -> bool:
  """Return whether initial parameters differ; equal programs are not run."""
  if _initial_program(before) == _initial_program(after):
    return False
  first, second = map(_initial_bytes, (before, after))
  return first != second


def _initial_program(subject: Subject) -> str:
  x, mask = subject.inputs(1), subject.mask(positions_of(1, SHORT))
  init = subject.plain_functions().init
  return str(jax.make_jaxpr(init)(jax.random.key(0), x, mask))


def _initial_bytes(subject: Subject) -> list[bytes]:
  """Return the bytes of each initial parameter."""
  leaves = jax.tree.leaves(subject.initial_parameters())
  return [np.asarray(leaf).tobytes() for leaf in leaves]
