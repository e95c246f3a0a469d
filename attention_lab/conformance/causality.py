"""Causality: outputs depend on past tokens only, however the attention is called."""

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.conformance.inputs import BATCH, LONG, SHORT, cast_to, positions_of
from attention_lab.conformance.law import Case, Error, law, only
from attention_lab.conformance.options import (
  accepted_variants,
  is_field,
  option_sizes,
  other_values,
)
from attention_lab.conformance.schemes import MAX_LENGTH
from attention_lab.conformance.sizes import WIDE, Sizes
from attention_lab.conformance.subject import Subject

ROUNDING = 2e-5  # Float32 rounding error, relative to the largest value.
GRADIENT_ROUNDING = 1e-6  # Of a gradient that is 0, relative to the largest gradient.
# Rounding of bfloat16; a leak is larger, since the changed tokens are 10 times as large.
LOW_ROUNDING = 2.0**-6
PAIRS = 2**19  # Pairs of query and context token per call, which bound the memory.
LARGE = 340  # A number of tokens in the options from which on one length is tested.
CUTS = 16  # Cuts that are tested where not all are.


class Setup(NamedTuple):
  """Way to call an attention."""

  length: int
  aligned: bool  # Whether the mask says that positions are 0, 1, 2, ….
  key: bool = False  # Whether there is a random key, as in training.
  dtype: Any = jnp.float32

  def __str__(self) -> str:
    dtype = "" if self.dtype == jnp.float32 else f", {jnp.dtype(self.dtype).name}"
    key = ", random key" if self.key else ""
    aligned = ", aligned" if self.aligned else ""
    return f"T={self.length}{aligned}{key}{dtype}"


WITH_KEY = Setup(LONG, aligned=True, key=True)  # As in training.


def setups(subject: Subject, lengths: Sequence[int]) -> Iterator[Setup]:
  """Yield every way to call the attention at these lengths; the smallest come first.

  Training calls it with `aligned` and a random key, and in its own dtype.
  """
  keys = (False, True) if is_random(subject) else (False,)
  for length, aligned, key in itertools.product(lengths, (False, True), keys):
    yield Setup(length, aligned, key)


def _more_setups(subject: Subject) -> Iterator[Setup]:
  """Yield setups just below, at and above three times each number in the options.

  Of a large number it is one length above, since longer sequences take long.
  """
  for size in option_sizes(subject):
    if size > LARGE:
      yield Setup(3 * size + 2, aligned=True)
      continue
    yield Setup(3 * size, aligned=False)
    for length in range(3 * size - 1, 3 * size + 3):
      yield Setup(length, aligned=True)


def is_random(subject: Subject) -> bool:
  """Return whether a random key changes the program."""
  return bool(subject.cached("random?", partial(_is_random, subject)))


def _is_random(subject: Subject) -> bool:
  f, key = subject.plain_functions(), jax.random.key(0)
  x, positions = jnp.asarray(subject.inputs(1)), positions_of(1, SHORT)

  def program(with_key: bool, aligned: bool) -> str:
    def run(params: Any, key: jax.Array) -> jax.Array:
      mask = subject.mask(positions, aligned)
      return f.apply(params, x, mask, key if with_key else None)

    return str(jax.make_jaxpr(run)(subject.random_parameters(), key))

  return any(program(True, each) != program(False, each) for each in (True, False))


@law(
  "no gradient from future tokens",
  "the mask is off by one, or something is normalised over the queries or over time",
  only("causal"),
)
def no_gradient_from_future(subject: Subject) -> Iterator[Case]:
  """Require that outputs before a cut have no gradient by tokens from the cut on."""
  lengths = [n for n in (SHORT, LONG) if n <= subject.reach]
  for setup in setups(subject, lengths):
    if setup.aligned != (setup.length == LONG) and not subject.full:
      continue
    for label, params in subject.labelled_parameters():
      case = f"{setup}, {label} parameters"
      yield Case(
        case,
        partial(_largest_gradient, subject, setup, params, label == "initial"),
        GRADIENT_ROUNDING,
      )


@law(
  "outputs do not depend on future tokens",
  "future tokens enter at a chunk, block or cache boundary, or in a sum over all of time",
  only("causal"),
)
def no_dependence_on_future(subject: Subject) -> Iterator[Case]:
  """Require that changing all tokens from a cut on changes no output before the cut.

  In quick depth, every cut is tested with the positions and the dtype of training only.
  """
  usual = (SHORT, 16, MAX_LENGTH, 128, LONG, 512) if subject.full else (LONG,)
  every = list(setups(subject, [n for n in usual if n <= subject.reach]))
  more = dict.fromkeys(_more_setups(subject) if subject.full else ())
  every += [each for each in more if each not in every and each.length <= subject.reach]
  # In bfloat16, 256 and 257 are the same number.
  for length in (LONG, 512) if subject.full else (LONG,):
    if length <= subject.reach:
      every.append(Setup(length, aligned=True, dtype=jnp.bfloat16))
  for setup in every:
    for label, params in subject.labelled_parameters():
      if label == "initial" and not setup.aligned:
        continue  # Those of training, which aligns positions.
      case = f"{setup}, {label} parameters"
      as_in_training = setup.aligned and setup.dtype == jnp.float32
      few = label == "initial" or not (subject.full or as_in_training)
      limit = ROUNDING if setup.dtype == jnp.float32 else LOW_ROUNDING
      yield Case(case, partial(_largest_change, subject, setup, params, few), limit)
  if subject.full:
    yield from _other_forms(subject)


def _other_forms(subject: Subject) -> Iterator[Case]:
  """Yield cases of other schemes and sizes, and of float16; few cuts of each."""
  setup = Setup(min(LONG, subject.reach), aligned=True)
  half = setup._replace(dtype=jnp.float16)
  change = partial(_largest_change, subject, half, subject.initial_parameters(), True)
  yield Case(str(half), change, LOW_ROUNDING)
  schemes = {"none": None, "rope": "rotate", "alibi": "bias"}
  if subject.position is None and subject.hooks:
    for position, hook in schemes.items():
      if hook is None or (hook in subject.hooks and len(subject.hooks) > 1):
        yield Case(
          f"{setup}, --position={position}",
          partial(_change_of_variant, subject, setup, None, position),
          ROUNDING,
        )
  for sizes in (Sizes(1, 16, 16), WIDE):
    changes = partial(_change_of_variant, subject, setup, sizes, subject.position)
    yield Case(f"{setup}, {sizes}", changes, ROUNDING)
  for name in subject.values:
    for value, other in _other_options(subject, name):
      params = other.random_parameters()
      changes = partial(_largest_change, other, WITH_KEY, params, True)
      yield Case(f"{WITH_KEY}, {name}={value!r}", changes, ROUNDING)


def _change_of_variant(
  subject: Subject, setup: Setup, sizes: Sizes | None, position: str | None
) -> Error:
  """Return `_largest_change` of the attention with other sizes or another scheme."""
  other = subject.variant(sizes, position)
  return _largest_change(other, setup, other.random_parameters(), True)


def _other_options(subject: Subject, name: str) -> Iterator[tuple[Any, Subject]]:
  """Yield the attention with other values of an option: one of a number, else all."""
  if not is_field(subject, name) or subject.reach < LONG:
    return
  for value, other in accepted_variants(subject, name, other_values(subject, name)):
    yield value, other
    if type(value) in (int, float):
      return


def cuts_of(length: int, sizes: Sequence[int], every: bool) -> np.ndarray:
  """Return the cuts to test at a length: all, or those next to multiples of sizes."""
  if every:
    return np.arange(1, length)
  steps = [*sizes, 16, 64, 128, 256, length]
  edges = [edge for size in steps for edge in (size, length // size * size)]
  near = [edge + i for edge in edges for i in (-1, 0, 1)]
  rng = np.random.default_rng(length)
  others = rng.permutation(np.arange(1, length))
  inside = [cut for cut in dict.fromkeys([*near, *others]) if 0 < cut < length]
  return np.sort(inside[:CUTS])


def _calls(subject: Subject, setup: Setup, few: bool) -> Iterator[np.ndarray]:
  """Yield the cuts of each call [rows], always as many.

  Every cut is tested at `SHORT` tokens and, unless `few`, at `LONG`.
  """
  length = setup.length
  every = length == SHORT or (length == LONG and not few)
  cuts = cuts_of(length, option_sizes(subject), every)
  rows = max(1, min(BATCH, PAIRS // length**2))  # Other laws use the same programs.
  for start in range(0, len(cuts), rows):
    yield np.resize(cuts[start : start + rows], rows)


def output(subject: Subject, setup: Setup, params: Any, rows: np.ndarray) -> np.ndarray:
  """Return self-attention of rows [B, T, D], called as the setup says."""
  if setup.dtype != jnp.float32:
    params = cast_to(setup.dtype, params)
  key = jax.random.key(5) if setup.key else None
  low = rows.astype(setup.dtype)
  y = subject.run(low, None, params, aligned=setup.aligned, key=key)
  return y.astype(np.float32)


def _largest_change(subject: Subject, setup: Setup, params: Any, few: bool) -> Error:
  """Return the largest change before a cut, and where it is."""
  x, other = (
    subject.inputs(1, setup.length, seed=1),
    subject.inputs(1, setup.length, seed=3, scale=10.0),
  )
  run = partial(output, subject, setup, params)
  expected, (worst, where) = None, (0.0, "")
  for cuts in _calls(subject, setup, few):
    after = np.arange(setup.length) >= cuts[:, None]  # [rows, T]
    same = np.repeat(x, len(cuts), axis=0)
    if expected is None:  # All calls have as many rows, and the same random key.
      expected = run(same)
    changed = run(np.where(after[..., None], other, same))
    if not (np.isfinite(expected).all() and np.isfinite(changed).all()):
      return float("nan"), "not finite"
    change = np.abs(changed - expected).max(axis=2) * ~after
    row, token = np.unravel_index(np.argmax(change), change.shape)
    size = float(change[row, token] / (np.abs(expected).max() + 1e-30))
    if size > worst:
      worst = size
      where = f"output {token} changes when the tokens from {cuts[row]} on are replaced"
  return (worst, where) if where else 0.0


def _largest_gradient(subject: Subject, setup: Setup, params: Any, few: bool) -> Error:
  """Return the largest gradient of outputs before a cut by tokens after it, and where."""
  length, key = setup.length, jax.random.key(5) if setup.key else None
  x = subject.inputs(1, length)
  w = np.random.default_rng(2).normal(size=x.shape).astype(np.float32)
  worst, largest, where = 0.0, 0.0, ""
  for cuts in _calls(subject, setup, few):
    after = (np.arange(length) >= cuts[:, None])[..., None]
    rows = np.repeat(x, len(cuts), axis=0)
    _, (_, gradient) = subject.gradient(
      rows,
      positions_of(*rows.shape[:2]),
      np.where(after, 0, w),
      params,
      aligned=setup.aligned,
      key=key,
    )
    if not np.isfinite(gradient).all():
      return float("nan"), "not finite"
    size = np.abs(gradient).max(axis=2)
    largest = max(largest, float(size.max()))
    future = size * after[..., 0]
    row, token = np.unravel_index(np.argmax(future), future.shape)
    if future[row, token] > worst:
      worst = float(future[row, token])
      where = f"outputs before {cuts[row]} by input {token}"
  error = worst / (largest + 1e-30)
  return (error, where) if where else 0.0


@law(
  "past and current tokens are read",
  "the mask is too strict, or queries and keys are swapped",
)
def past_is_read(subject: Subject) -> Iterator[Case]:
  """Require that the first and the last token each change the outputs they must change.

  The first token must change its own output, for which a causal attention reads no other
  token, and at least one other output. The last token must change its own output. A token
  that does not attend to itself (`sees_itself`) must change another output alone.
  """
  for causal in subject.modes:
    mode = f"T={SHORT}{'' if causal else ', bidirectional'}, changing the"
    unread = partial(is_unread, subject, SHORT, causal)
    others = partial(unread, 0, slice(1, None))
    yield Case(f"{mode} first token changes no other output", others, 0.0)
    if subject.sees_itself:
      for name, token in (("first", 0), ("last", SHORT - 1)):
        own = partial(unread, token, token)
        yield Case(f"{mode} {name} token does not change its output", own, 0.0)


def is_unread(
  subject: Subject,
  length: int,
  causal: bool,
  token: int,
  outputs: int | slice,
  aligned: bool = False,
) -> bool:
  """Return whether changing a token changes none of some outputs."""
  x = subject.inputs(length=length)
  other = x.copy()
  other[:, token] += 1
  y, changed = (subject.run(z, aligned=aligned, causal=causal) for z in (x, other))
  return np.array_equal(y[:, outputs], changed[:, outputs])
