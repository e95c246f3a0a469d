"""Division of documents into splits: whole documents, or parts of a single one."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from attention_lab.dataset.base.corpus import (
  Corpus,
  LoadedCorpus,
  Table,
  character_starts,
)
from attention_lab.dataset.base.counter_random import GOLDEN, mix
from attention_lab.errors import UserError

NAMES = ("train", "validation", "test")
# Bytes of the splits of enwik8 and text8 (arXiv:1808.04444, section 4).
ENWIK8 = (90_000_000, 5_000_000, 5_000_000)


class Fractions(NamedTuple):
  """Shares of what is divided; the rest is for training."""

  validation: float
  test: float

  def ends(self, total: int) -> list[int]:
    """Return the ends of the three parts of a text, in its units."""
    rest = 1 - self.validation
    return [int(total * (rest - self.test)), int(total * (1 - self.test)), total]


class Division(NamedTuple):
  """The texts of each split, in the order of training and evaluation.

  A text is a document, or a part of the document that is cut. Texts are numbered in the
  order of the files.
  """

  order: Mapping[str, np.ndarray]  # Split → numbers of its texts.
  cut: int  # Number of the document that is cut; -1 for none.
  ends: tuple[int, ...]  # Ends of its parts.
  by_bytes: bool  # Whether ends are counted in bytes, not in characters.
  left_out: int  # Documents that are not used, since a later split has them, too.

  @property
  def separated(self) -> bool:
    """Whether a split has several texts."""
    return any(len(texts) > 1 for texts in self.order.values())


def divide(table: Table, fractions: Fractions, seed: int) -> Division:
  """Divide documents: a single one is cut, of several each belongs to one split.

  Which documents validate is decided by a hash of their content and of the seed, so that
  documents of the same content are in the same split. Their order is random. Documents of
  files that are for one split stay there; a split leaves out those that a later one has.
  """
  divided = np.flatnonzero((table.splits == "") & (table.sizes > 0))
  if len(divided) == 1 and any(fractions):
    ends = fractions.ends(int(table.characters[divided[0]]))
    return _cut(table, int(divided[0]), ends, seed)
  splits = table.splits.copy()
  splits[divided] = "train"
  ranked = _by_hash(table.keys[divided], seed)  # Distinct keys.
  first = 0
  for split, share in (("test", fractions.test), ("validation", fractions.validation)):
    count = max(1, round(share * len(ranked))) if share else 0
    chosen = np.isin(table.keys, ranked[first : first + count])
    splits[chosen & (table.splits == "")] = split
    first += count
  splits[table.sizes == 0] = "none"
  again = _in_later_split(table.keys, splits)
  splits[again] = "none"
  order = {split: np.flatnonzero(splits == split) for split in NAMES}
  return Division(_shuffled(order, seed), -1, (), False, int(again.sum()))


def enwik8(table: Table) -> Division:
  """Divide a single document of 100 MB as enwik8 and text8 are: 90, 5 and 5 MB."""
  if len(table.sizes) != 1 or table.sizes[0] != sum(ENWIK8):
    raise UserError(
      f"split='enwik8' is for one file of {sum(ENWIK8):,} bytes, as enwik8 and text8; the "
      f"data has {table.sizes.sum():,} bytes in {len(table.sizes):,} documents."
    )
  division = _cut(table, 0, np.cumsum(ENWIK8).tolist(), 0)
  return division._replace(by_bytes=True)


def _cut(table: Table, number: int, ends: list[int], seed: int) -> Division:
  """Return the division that cuts one document; the others are for one split each."""
  starts = [0, *ends[:-1]]
  order: dict[str, np.ndarray] = {}
  for index, split in enumerate(NAMES):
    own = np.flatnonzero((table.splits == split) & (table.sizes > 0))
    own[own > number] += len(NAMES) - 1
    if starts[index] < ends[index]:
      own = np.append(own, number + index)
    order[split] = own
  return Division(_shuffled(order, seed), number, tuple(ends), False, 0)


def _in_later_split(keys: np.ndarray, splits: np.ndarray) -> np.ndarray:
  """Return which documents a later split of `NAMES` has, too: bool [D]."""
  again = np.zeros(len(keys), bool)
  for number, split in enumerate(NAMES[:-1]):
    later = keys[np.isin(splits, NAMES[number + 1 :])]
    again |= (splits == split) & np.isin(keys, later)
  return again


def _shuffled(order: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
  """Return the texts of each split that has some, in a random order."""
  found = {}
  for number, (split, texts) in enumerate(order.items()):
    if len(texts):
      random = np.random.default_rng((seed, number, len(texts)))
      found[split] = random.permutation(texts)
  return found


def _by_hash(keys: np.ndarray, seed: int) -> np.ndarray:
  """Return the distinct keys in a random order that depends on the seed."""
  distinct = np.unique(keys)
  start = mix(np.array([seed], np.uint64) + GOLDEN)
  return distinct[np.argsort(mix(distinct ^ start), kind="stable")]


class Piece(NamedTuple):
  """A piece of a text."""

  text: int  # Number of the text.
  origin: str  # Its place, for messages.
  content: bytes


def pieces(corpus: Corpus | LoadedCorpus, division: Division) -> Iterator[Piece]:
  """Yield the pieces of all texts, in the order of the files."""
  shift = 0
  for number, (_, document) in enumerate(corpus.documents()):
    if number == division.cut:
      for index, content in parts(document.pieces, division):
        yield Piece(number + index, document.origin, content)
      shift = len(division.ends) - 1
      continue
    for content in document.pieces:
      yield Piece(number + shift, document.origin, content)


def parts(contents: Iterable[bytes], division: Division) -> Iterator[tuple[int, bytes]]:
  """Yield pieces that do not cross the ends of parts, each with its part."""
  index, done = 0, 0  # Units before the piece.
  for content in contents:
    starts = None if division.by_bytes else np.flatnonzero(character_starts(content))
    units = len(content) if starts is None else len(starts)
    begin = 0
    while index < len(division.ends) - 1 and division.ends[index] < done + units:
      at = division.ends[index] - done
      end = at if starts is None else int(starts[at])
      if end > begin:
        yield index, content[begin:end]
      begin, index = end, index + 1
    yield index, content[begin:]
    done += units
