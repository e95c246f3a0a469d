"""Padding: negative positions are ignored, and empty rows of the mask stay finite."""

from collections.abc import Iterator

import jax
import numpy as np

from attention_lab.conformance.causality import ROUNDING, from_token
from attention_lab.conformance.law import Case, law, only
from attention_lab.conformance.subject import (
  LONG,
  SHORT,
  Subject,
  distance,
  positions_of,
)


@law(
  "padding content is not read",
  "the mask ignores that context positions < 0 are padding, or a cache or sum includes it",
)
def padding_content_is_not_read(subject: Subject) -> Iterator[Case]:
  """Require that vectors at negative positions change no output at other positions."""
  for length, padding in ((SHORT, 2), (LONG, 20)):
    x = subject.inputs(length=length)
    positions = positions_of(2, length, padding)
    y = subject.run(x, positions)
    changed = subject.run(np.where(from_token(padding, length), x, 100 * x), positions)
    case = f"T={length}, {padding} tokens of padding in front"
    yield Case(case, distance(changed[:, padding:], y[:, padding:]), ROUNDING)
  if subject.causal:
    return
  x = subject.inputs()
  positions = np.array([[0, 1, -1, -1, 2, 3]] * 2, np.int32)
  real = positions[0] >= 0
  y = subject.run(x, positions)
  changed = subject.run(np.where(positions[..., None] < 0, 100 * x, x), positions)
  case = f"T={SHORT}, padding in the middle"
  yield Case(case, distance(changed[:, real], y[:, real]), ROUNDING)


@law(
  "padding is ignored",
  "a normaliser, a mean or a position counts padding",
  only("causal"),
)
def padding_is_ignored(subject: Subject) -> Iterator[Case]:
  """Require the same outputs with padding in front as without it."""
  for length, padding, suffix in ((SHORT, 2, 0), (LONG, 20, 20)):
    x = subject.inputs(length=length)
    # The short reference has fewer tokens, which reveals a sum over all slots. The long
    # one has a suffix that its outputs do not depend on: at length LONG, it reuses the
    # compiled program.
    reference = subject.run(np.concatenate([x[:, padding:], x[:, :suffix]], axis=1))
    padded = subject.run(x, positions_of(2, length, padding))[:, padding:]
    case = f"T={length}, {padding} tokens of padding in front"
    yield Case(case, distance(padded, reference[:, : length - padding]), ROUNDING)


@law(
  "fully masked rows are finite",
  "a softmax over no tokens divides by zero; mask with a finite number, then zero the row",
)
def masked_rows_are_finite(subject: Subject) -> Iterator[Case]:
  """Require finite outputs and gradients where a query may attend to no token."""
  x = subject.inputs()
  padding = np.full(x.shape[:2], -1, np.int32)
  first_row = np.stack([padding[0], np.arange(SHORT, dtype=np.int32)])
  for label, positions in (("all", padding), ("the first row", first_row)):
    result = subject.gradient(
      x, positions, np.ones_like(x), subject.random_parameters()
    )
    failures = sum(not np.isfinite(leaf).all() for leaf in jax.tree.leaves(result))
    case = f"T={SHORT}, {label} padding, outputs or gradients not finite"
    yield Case(case, failures, 0.0)
