"""Attentions with one deliberate error each, and the law that must detect it."""

from tests.conformance.broken import (  # noqa: F401
  blocks,
  caches,
  claims,
  conditions,
  distances,
  documents,
  gradients,
  kinds,
  numbers,
  padding,
  prefix,
  rows,
  states,
)
from tests.conformance.broken.base import BROKEN, FULL_DEPTH, find_law
from tests.conformance.broken.leaks import LeaksWithinChunks, OffByOne
from tests.conformance.broken.numbers import NoBatchingRule

__all__ = [
  "BROKEN",
  "FULL_DEPTH",
  "find_law",
  "LeaksWithinChunks",
  "NoBatchingRule",
  "OffByOne",
]
