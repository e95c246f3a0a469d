"""Bidirectional self-attention: every token may read tokens on both sides."""

import itertools
from collections.abc import Iterator
from functools import partial

from attention_lab.conformance.causality import is_unread
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
    unread = partial(is_unread, subject, length, False, aligned=aligned)
    last = partial(unread, length - 1, slice(length - 1))
    yield Case(f"{mode} last token changes no output before it", last, 0.0)
    first = partial(unread, 0, slice(1, None))
    yield Case(f"{mode} first token changes no output behind it", first, 0.0)
