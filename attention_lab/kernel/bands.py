"""Cuts rows into blocks, and says what each block has to meet: integers only."""

import math
from collections.abc import Iterator
from typing import NamedTuple

BLOCK = 128  # Rows of a block, at most.
GROUPS = 8  # So many different extents are compiled at most.


class Band(NamedTuple):
  """`blocks` of `size` rows. The i-th meets `extent` others from first + i · step."""

  start: int  # The first row of the first block.
  size: int
  blocks: int
  first: int
  extent: int
  step: int


def block_size(rows: int) -> int:
  """Return the rows of a block such that the fewest blocks are of about equal size."""
  return math.ceil(rows / math.ceil(rows / BLOCK))


def bands(
  rows: int,
  others: int,
  before: int | None,
  after: int | None,
  prefix: int = 0,
) -> Iterator[Band]:
  """Return bands that together cover all rows; the last may extend beyond them.

  Args:
    rows: number of rows.
    others: number of rows of the other side.
    before: row r needs no other below r - before; None for no limit.
    after: row r needs no other above r + after; None for no limit.
    prefix: number of the first rows that need as many of the first others in any case.
  """
  blocks, size = math.ceil(rows / BLOCK), block_size(rows)
  if before is not None and after is not None and not prefix and blocks > GROUPS:
    reach = size + before + after
    if reach < others:  # The window slides along with the blocks.
      yield Band(0, size, blocks, -before, reach, size)
      return
  if before is None and after is None:
    yield Band(0, size, blocks, 0, others, 0)
    return
  count = math.ceil(blocks / GROUPS)
  size = math.ceil(rows / (math.ceil(blocks / count) * count))
  for start in range(0, rows, size * count):
    first = 0 if before is None else max(0, start - before)
    last = others if after is None else min(others, start + size * count + after)
    if start < prefix:
      first, last = 0, max(last, min(others, prefix))
    first = min(
      first, others - 1
    )  # A block that needs no other gets one, which is masked.
    yield Band(start, size, count, first, max(1, last - first), 0)
