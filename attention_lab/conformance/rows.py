"""Rows: the sequences of a batch are computed independently of each other."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from attention_lab.conformance.causality import ROUNDING
from attention_lab.conformance.inputs import BATCH, LONG, SHORT, distance, positions_of
from attention_lab.conformance.law import Case, Error, law
from attention_lab.conformance.padding import largest_change, padded, unless_padded
from attention_lab.conformance.subject import Subject

MANY = 9  # Sequences of a large batch.


@law(
  "sequences in a batch are independent",
  "something is averaged, normalised or reshaped over the batch",
)
def sequences_are_independent(subject: Subject) -> Iterator[Case]:
  """Require that changing one sequence, anywhere, changes no output of another."""
  cases = [(BATCH, SHORT, False), (BATCH, SHORT, True)]
  if subject.full and subject.reach >= LONG:
    cases.append((MANY, LONG, True))
  for causal in subject.modes if subject.full else subject.modes[:1]:
    for batch, length, aligned in cases:
      mode = f"{', aligned' * aligned}{'' if causal else ', bidirectional'}"
      for row in (0, 1, batch - 1):
        for token in (None, 0, length - 1):
          where = "" if token is None else f" at token {token}"
          shape = (batch, length)
          yield Case(
            f"T={length}{mode}, row {row} of {batch} changed{where}",
            partial(_other_rows, subject, shape, aligned, causal, row, token),
            ROUNDING,
          )


def _other_rows(
  subject: Subject,
  shape: tuple[int, int],
  aligned: bool,
  causal: bool,
  row: int,
  token: int | None,
) -> float:
  """Return the largest change of other rows if a row changes at a token, or at all."""
  x = subject.inputs(*shape)
  other = x.copy()
  changed = slice(None) if token is None else token
  other[row, changed] = 5 * other[row, changed] + 1
  before, after = (subject.run(z, aligned=aligned, causal=causal) for z in (x, other))
  rest = np.arange(len(x)) != row
  return distance(after[rest], before[rest])


@law(
  "outputs do not depend on the batch size",
  "a division by the batch size, or a reshape that mixes the batch with another axis",
)
def batch_sizes_agree(subject: Subject) -> Iterator[Case]:
  """Require that batches of 1, 2, 3 and more sequences give each the same outputs."""
  cases: list[tuple[int, bool, tuple[int, ...]]]
  cases = [(SHORT, True, (1, 2, 3) if subject.full else (1, 3))]
  if subject.full:
    cases.append((SHORT, False, (1, 2, 3)))
    if subject.reach >= LONG:
      cases.append((LONG, True, (1,)))
  for length, aligned, batches in cases:
    largest = MANY if length == LONG else BATCH
    x = subject.inputs(largest, length)
    for batch in batches:
      yield Case(
        f"T={length}{', aligned' * aligned}, batches of {batch} and {largest}",
        partial(_other_size, subject, x, batch, aligned),
        ROUNDING,
      )


def _other_size(subject: Subject, x: np.ndarray, batch: int, aligned: bool) -> float:
  """Return the difference of the first rows from those in a larger batch."""
  actual, expected = (subject.run(z, aligned=aligned) for z in (x[:batch], x))
  return distance(actual, expected[:batch])


@law(
  "aligned positions change no output",
  "the code for `mask.aligned` computes something else than the code for all masks",
)
def aligned_equals_unaligned(subject: Subject) -> Iterator[Case]:
  """Require the same outputs whether or not the mask says that positions are 0, 1, 2, …."""
  for causal in subject.modes:
    for length in (SHORT, LONG):
      if length <= subject.reach:
        mode = "" if causal else ", bidirectional"
        error = partial(_alignment_error, subject, length, causal)
        yield Case(f"T={length}{mode}", error, 1e-4)


def _alignment_error(subject: Subject, length: int, causal: bool) -> Error:
  """Return the difference of outputs with an aligned mask from those without."""
  x = subject.inputs(length=length)
  aligned, expected = (
    subject.run(x, aligned=each, causal=causal) for each in (True, False)
  )
  return largest_change(aligned, expected, positions_of(1, length)[0])


@law(
  "each row obeys its own padding and positions",
  "positions or lengths of one row are used for all rows",
  unless_padded,
)
def ragged_rows_equal_single_rows(subject: Subject) -> Iterator[Case]:
  """Require that rows with different padding and positions equal each row alone."""
  lengths = (SHORT, LONG) if subject.full else (SHORT,)
  for causal in subject.modes:
    for length in lengths:
      if length > subject.reach:
        continue
      mode = "" if causal else ", bidirectional"
      yield Case(
        f"T={length}{mode}, rows with different padding",
        partial(_rows_alone, subject, length, causal),
        ROUNDING,
      )


def ragged(length: int, shift: int = 7) -> np.ndarray:
  """Return positions [B, T] of rows that differ in padding and in their positions.

  The rows: shifted positions, and padding in front, behind and inside.
  """
  rows = [
    np.arange(length, dtype=np.int32) + shift,
    padded(length, "in front"),
    padded(length, "behind", length // 2),
    padded(length, "inside"),
  ]
  return np.stack(rows)


def _rows_alone(subject: Subject, length: int, causal: bool) -> Error:
  """Return the largest difference of a row in a batch from the row alone."""
  room = subject.reach - length
  positions = ragged(length, shift=7 if room >= 7 else 0)
  x = subject.inputs(len(positions), length)
  together = subject.run(x, positions, causal=causal)
  alone = np.concatenate(
    [
      subject.run(x[i : i + 1], positions[i : i + 1], causal=causal)
      for i in range(len(positions))
    ]
  )
  real = (positions >= 0)[..., None]
  return largest_change(
    np.where(real, together, 0), np.where(real, alone, 0), positions_of(1, length)[0]
  )
