"""Bidirectional self-attention: every token may read tokens on both sides."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from attention_lab.conformance.inputs import SHORT
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
  before, behind = slice(SHORT - 1), slice(1, None)
  for aligned in (False, True):
    mode = f"T={SHORT}{', aligned' * aligned}, changing the"
    last = partial(_is_unread, subject, aligned, SHORT - 1, before)
    yield Case(f"{mode} last token changes no output before it", last, 0.0)
    first = partial(_is_unread, subject, aligned, 0, behind)
    yield Case(f"{mode} first token changes no output behind it", first, 0.0)


def _is_unread(subject: Subject, aligned: bool, token: int, outputs: slice) -> bool:
  """Return whether changing a token changes none of some outputs."""
  x = subject.inputs()
  other = x.copy()
  other[:, token] += 1
  y, changed = (subject.run(z, aligned=aligned, causal=False) for z in (x, other))
  return np.array_equal(y[:, outputs], changed[:, outputs])
