"""Bidirectional self-attention: every token may read tokens on both sides."""

import itertools
from collections.abc import Iterator
from functools import partial

import numpy as np

from attention_lab.conformance.inputs import LONG, SHORT
from attention_lab.conformance.law import Case, law, only
from attention_lab.conformance.subject import Subject


@law(
  "a bidirectional pass reads both sides",
  "the mask is causal whatever `mask.causal` says",
  only("bidirectional"),
)
def both_sides_are_read(subject: Subject) -> Iterator[Case]:
  """Require, without causality, that the last token changes outputs before it.

  The first token must change outputs behind it, too.
  """
  lengths = (SHORT, LONG) if subject.full else (SHORT,)
  for length, aligned in itertools.product(lengths, (False, True)):
    if length > subject.reach:
      continue
    mode = f"T={length}{', aligned' * aligned}, changing the"
    last = partial(_is_unread, subject, length, aligned, length - 1)
    yield Case(f"{mode} last token changes no output before it", last, 0.0)
    first = partial(_is_unread, subject, length, aligned, 0)
    yield Case(f"{mode} first token changes no output behind it", first, 0.0)


def _is_unread(subject: Subject, length: int, aligned: bool, token: int) -> bool:
  """Return whether changing the first or last token changes no other output."""
  outputs = slice(token) if token else slice(1, None)
  x = subject.inputs(length=length)
  other = x.copy()
  other[:, token] += 1
  y, changed = (subject.run(z, aligned=aligned, causal=False) for z in (x, other))
  return np.array_equal(y[:, outputs], changed[:, outputs])
