"""Token files of a text, made once: encoded, then put in the order of each split."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from attention_lab.dataset.base import progress
from attention_lab.dataset.base.digests import (
  DIGESTS,
  damaged,
  refuse_damaged,
  write_digests,
)
from attention_lab.dataset.base.division import Piece
from attention_lab.dataset.base.encoder import Encoding
from attention_lab.dataset.base.groups import (
  Texts,
  encode_groups,
  remove_groups,
  save_array,
)
from attention_lab.dataset.base.shards import Shards, known_shard
from attention_lab.system.files import made_once, write_json
from attention_lab.system.memory import return_free_memory

INDEX = "index.json"
SHARD = 1 << 23  # Bytes of tokens per file.


class Facts(NamedTuple):
  """Sizes of a split."""

  documents: int
  tokens: int  # Separators included.
  bytes: int  # Of the text that the tokens stand for.
  characters: int  # Of the same text, if it is UTF-8.


class Tokens(Protocol):
  """The tokens of a split, in files or in memory."""

  def __len__(self) -> int: ...

  def take(self, starts: np.ndarray, length: int) -> np.ndarray:
    """Return the `length` tokens from each start on: int32 [B, length]."""


class Prepared(NamedTuple):
  """The tokens of each split."""

  folder: Path | None  # Of their files; None if they are in memory.
  splits: Mapping[str, Tokens]
  facts: Mapping[str, Facts]


class Work(NamedTuple):
  """The text and the vocabulary that token files are made of."""

  pieces: Callable[[], Iterator[Piece]]
  order: Mapping[str, np.ndarray]  # Split → numbers of its texts.
  encoding: Encoding
  separator: int | None  # The token in front of each text; None for none.
  total: int  # Bytes of all texts.
  name: str  # Of the text, for progress.
  processes: int | None = None  # That encode; None for as many as pay.


def prepared(folder: Path, work: Work) -> Prepared:
  """Return token files, which are made if the folder does not hold them.

  After an interruption, the next call keeps the files that are complete and makes the
  others. The content does not depend on interruptions.

  Args:
    folder: folder named after everything that the tokens depend on.
    work: what they are made of.

  Raises:
    UserError: the text cannot be encoded, or the files are damaged or cannot be written.
  """

  def make(path: Path) -> None:
    if not (folder / INDEX).exists():
      _write_splits(folder, work)
    remove_groups(folder)
    write_digests(folder, [*sorted(x.name for x in folder.glob("*.npy")), INDEX])
    return_free_memory()

  made_once(folder / DIGESTS, make, "data_dir")
  return _read(folder)


def _write_splits(folder: Path, work: Work) -> None:
  """Write the files of all splits, then their sizes."""
  with progress.shown(f"Encoding {work.name}", work.total) as advance:
    texts = encode_groups(
      folder, work.pieces, work.encoding, work.total, work.processes, advance
    )
  facts = {}
  for split, order in work.order.items():
    sizes = texts.sizes[order]
    separated = work.separator is not None
    lengths = sizes[:, 0] + separated
    size = SHARD // np.dtype(work.encoding.dtype).itemsize
    ends = np.cumsum(lengths)
    for number in range(-(-int(ends[-1]) // size)):
      path = folder / f"{split}-{number:05}.npy"
      if not path.exists():
        first, last = number * size, min((number + 1) * size, int(ends[-1]))
        save_array(path, _gathered(texts, order, ends, (first, last), work))
    total, count, characters = (int(x) for x in sizes.sum(axis=0))
    tokens_in_all = total + separated * len(order)
    facts[split] = Facts(len(order), tokens_in_all, count, characters)._asdict()
  write_json(folder / INDEX, facts)


def _gathered(
  texts: Texts,
  order: np.ndarray,
  ends: np.ndarray,
  place: tuple[int, int],
  work: Work,
) -> np.ndarray:
  """Return some consecutive tokens of a split.

  Args:
    texts: all texts.
    order: the texts of the split.
    ends: number of tokens of the split up to the end of each.
    place: the numbers of the first token and of that behind the last.
    work: what the files are made of.
  """
  first, last = place
  found = np.zeros(last - first, work.encoding.dtype)
  rows = slice(
    int(np.searchsorted(ends, first, "right")), int(np.searchsorted(ends, last)) + 1
  )
  numbers, own_ends = order[rows], ends[rows]
  lengths = texts.sizes[numbers, 0]
  starts = own_ends - lengths  # Behind the separator.
  if work.separator is not None:
    places = starts - 1 - first
    found[places[places >= 0]] = work.separator
  # The same tokens: their number in the split minus `shift` is that among all texts.
  shift = starts - (texts.ends[numbers] - lengths)
  begin = np.maximum(starts, first) - shift
  end = np.minimum(own_ends, last) - shift
  by_place = np.argsort(begin, kind="stable")
  by_place = by_place[(begin < end)[by_place]]
  spans = np.stack([begin, end], axis=1)[by_place]
  for row, at, tokens in texts.tokens.pieces(spans):
    target = at + int(shift[by_place[row]]) - first
    found[target : target + len(tokens)] = tokens
  return found


def _read(folder: Path) -> Prepared:
  """Return the files of a folder; raise `UserError` if they are damaged."""
  try:
    digests = json.loads((folder / DIGESTS).read_bytes())
    names = sorted(digests)
    refuse_damaged(folder, names)
    content = json.loads((folder / INDEX).read_bytes())
    facts = {split: Facts(**sizes) for split, sizes in content.items()}
    shards = {
      split: Shards(
        [
          known_shard(folder / x, digests[x])
          for x in names
          if x.startswith(f"{split}-")
        ]
      )
      for split in facts
    }
    if any(len(shards[split]) != facts[split].tokens for split in facts):
      raise ValueError
  except (ValueError, OSError, TypeError, AttributeError, IndexError):
    raise damaged(folder) from None
  return Prepared(folder, shards, facts)
