"""Decoding: outputs equal to the full pass, and a decode state of the claimed size."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.conformance.functions import SPARE
from attention_lab.conformance.inputs import BATCH, LONG, SHORT, cast_to, positions_of
from attention_lab.conformance.law import Case, Error, law
from attention_lab.conformance.options import option_sizes
from attention_lab.conformance.padding import largest_change, padded
from attention_lab.conformance.subject import Subject

STEPS = 44  # Single steps behind a prompt.
PROMPT = LONG - STEPS
FAR = 1_152  # Tokens: more than any state of 1,024 holds.
LENGTHS = (4_096, 16_384, 65_536)  # At which the sizes of states are compared.


class Decoding(NamedTuple):
  """Positions of tokens, the chunks in which they are decoded, and a label."""

  label: str
  positions: np.ndarray  # [B, T]
  chunks: Sequence[int]
  limit: float = 5e-4  # Rounding errors add up along a state.
  hooks: tuple[str, ...] | None = None  # Those of the scheme; None for the usual one.
  spare: int = SPARE  # Slots of the state that stay empty.
  dtype: Any = jnp.float32

  def __str__(self) -> str:
    chunks = "+".join(_runs(self.chunks))
    return f"T={self.positions.shape[1]}, {self.label}, chunks {chunks}"


def _unless_decoding(subject: Subject) -> str:
  if subject.decodes:
    return ""
  return "no `extend` was given" if subject.causal else "it is not causal"


@law(
  "decoding equals the full pass",
  "the cache is off by one, loses tokens, rotates at wrong positions or includes padding",
  _unless_decoding,
)
def decoding_equals_full_pass(subject: Subject) -> Iterator[Case]:
  """Require that `extend`, in any chunks, returns the rows of the full pass.

  The decode state has room for more tokens than are decoded, or for no more.
  """
  for decoding in _decodings(subject):
    pads = (decoding.positions < 0).any()
    if decoding.positions.max() < subject.reach and (subject.takes_padding or not pads):
      error = partial(_decoding_error, subject, decoding)
      yield Case(str(decoding), error, decoding.limit)


def _decodings(subject: Subject) -> Iterator[Decoding]:
  """Yield what to decode; the smallest come first, and programs are shared."""
  singles, after_prompt = (1,) * SHORT, (PROMPT, *(1,) * STEPS)
  yield Decoding("no padding", positions_of(BATCH, SHORT), singles, 5e-5)
  front = np.tile(padded(SHORT, "in front"), (BATCH, 1))
  yield Decoding("2 tokens of padding", front, singles, 5e-5)
  yield Decoding("no padding", positions_of(BATCH, LONG), after_prompt)
  yield Decoding("ragged prompts", _ragged_prompts(), after_prompt)
  if not subject.full:
    return
  full = positions_of(BATCH, SHORT)
  yield Decoding("a state without room for more", full, singles, 5e-5, spare=0)
  yield Decoding("positions with gaps", _gaps(0), after_prompt)
  yield Decoding("positions from 10,000 on", _gaps(10_000), after_prompt)
  if subject.position is None:
    for hooks in dict.fromkeys([(), *((hook,) for hook in subject.hooks)]):
      if hooks != subject.hooks:
        scheme = " and ".join(hooks) or "no scheme"
        positions = positions_of(BATCH, LONG)
        yield Decoding(scheme, positions, after_prompt, hooks=hooks)
  chunks = _chunks(subject)
  yield Decoding("no padding", positions_of(1, sum(chunks)), chunks)
  low = 1_000 + positions_of(BATCH, 48)  # Not representable in bfloat16.
  yield Decoding(
    "bfloat16, positions from 1,000 on",
    low,
    (8, *(1,) * 40),
    2.0**-4,
    dtype=jnp.bfloat16,
  )
  yield Decoding("no padding", positions_of(1, FAR), (FAR - 8, *(1,) * 8), 1e-3)


def _chunks(subject: Subject) -> list[int]:
  """Return sizes of chunks around those that the options name, and 40 single tokens."""
  around = [size + i for size in option_sizes(subject) for i in (-1, 0, 1)]
  usual = [] if len(around) > 6 else [2, 16]
  return [*dict.fromkeys([3, *usual, *around]), *(1,) * 40, *around[-1:]]


def _ragged_prompts() -> np.ndarray:
  """Return positions [B, T] with different padding in front of each row."""
  return np.stack([padded(LONG, "in front", 23 * row) for row in range(BATCH)])


def _gaps(start: int) -> np.ndarray:
  """Return rising positions [B, T] with gaps, from `start` on."""
  steps = np.random.default_rng(6).integers(1, 6, size=(BATCH, LONG))
  return (start + np.cumsum(steps, axis=1)).astype(np.int32)


def _runs(chunks: Sequence[int]) -> Iterator[str]:
  """Yield chunks as text, with the number of equal ones: "100", "44×1"."""
  start = 0
  while start < len(chunks):
    end = start
    while end < len(chunks) and chunks[end] == chunks[start]:
      end += 1
    yield str(chunks[start]) if end - start == 1 else f"{end - start}×{chunks[start]}"
    start = end


def _decoding_error(subject: Subject, decoding: Decoding) -> Error:
  """Return the largest difference of decoded outputs from the full pass."""
  positions, dtype = decoding.positions, decoding.dtype
  f = subject.functions(decoding.hooks)
  params = subject.random_parameters(f)
  if dtype != jnp.float32:
    params = cast_to(dtype, subject.initial_parameters(f))
  x = subject.inputs(*positions.shape).astype(dtype)
  full = f.apply(params, x, subject.mask(jnp.asarray(positions)))
  actual = f.decode(params, x, positions, tuple(decoding.chunks), decoding.spare)
  real = (positions >= 0)[..., None]
  expected, actual = (
    np.where(real, np.asarray(y, np.float32), 0) for y in (full, actual)
  )
  return largest_change(actual, expected, np.arange(positions.shape[1]))


@law(
  "the decode state keeps its shapes and dtypes",
  "`extend` returns a state of another shape or dtype, which no loop can carry",
  _unless_decoding,
)
def state_keeps_shape_and_dtype(subject: Subject) -> Iterator[Case]:
  """Require that `extend` returns a state of the same tree, shapes and dtypes."""
  for dtype in (jnp.float32, jnp.bfloat16):
    for tokens in (1, SHORT):
      case = f"{jnp.dtype(dtype).name}, T={tokens}"
      for name in ("state", "output"):
        changes = partial(_changes, subject, dtype, tokens, name)
        yield Case(f"{case}, the {name}", changes, 0.0)


def _changes(subject: Subject, dtype: Any, tokens: int, name: str) -> Error:
  """Return whether the state, or the output, has another shape or dtype than before."""
  f = subject.functions()
  params = cast_to(dtype, subject.random_parameters())
  x = subject.inputs(length=tokens).astype(dtype)
  state = f.initial_state(params, len(x), LONG, dtype)
  y, new = jax.eval_shape(f.extend, params, x, state, positions_of(*x.shape[:2]))
  before, after = ((state, new), (x, y))[name == "output"]
  expected, actual = _shapes_and_dtypes(before), _shapes_and_dtypes(after)
  changed = [
    f"{b} instead of {a}" for a, b in zip(expected, actual, strict=False) if a != b
  ]
  if len(expected) != len(actual):
    changed.append(f"{len(actual)} arrays instead of {len(expected)}")
  if str(jax.tree.structure(before)) != str(jax.tree.structure(after)):
    changed.append("another structure")
  return (1.0, f"is {', '.join(changed[:2])}") if changed else 0.0


@law(
  "the decode state has the claimed size",
  "constant_state is set, but the state grows; or it grows faster than the sequence",
  _unless_decoding,
)
def state_has_claimed_size(subject: Subject) -> Iterator[Case]:
  """Compare the state's bytes at lengths that differ by a factor of 4.

  They must be equal if the attention sets `constant_state`, else grow at most linearly.
  """
  f, params = subject.functions(), subject.random_parameters()

  def size(length: int) -> int:
    state = jax.eval_shape(lambda p: f.initial_state(p, 1, length, jnp.float32), params)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))

  def growth(length: int) -> float:
    return size(4 * length) / max(1, size(length))

  limit = 1.0 if subject.constant_state else 4.01
  for length in LENGTHS:
    label = f"{4 * length} tokens against {length}"
    yield Case(label, partial(growth, length), limit)


def _shapes_and_dtypes(tree: object) -> list[str]:
  return [f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(tree)]
