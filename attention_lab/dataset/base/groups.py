"""Encoded pieces of texts in the order of their files, written so that work can go on.

A group is a file of tokens, and a file with the sizes of each of its pieces, which is
written first. Both depend on the texts alone, however often a process was killed.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from attention_lab.dataset.base.corpus import count_characters
from attention_lab.dataset.base.division import Piece
from attention_lab.dataset.base.encoder import Encoding, encoded
from attention_lab.dataset.base.shards import Shards, known_shard
from attention_lab.system.files import write_atomically

UNIT = 1 << 20  # Bytes of text, at least, that are encoded at once.
GROUP = 4  # Units of a group.
PREFIX = "group"


class Texts(NamedTuple):
  """Encoded texts: their tokens one after the other, and the place of each."""

  tokens: Shards
  ends: np.ndarray  # [texts] int64: number of tokens up to the end of each.
  sizes: np.ndarray  # [texts, 3] int64: tokens, bytes and characters of each.


def encode_groups(
  folder: Path,
  pieces: Callable[[], Iterator[Piece]],
  encoding: Encoding,
  total: int,
  processes: int | None,
  progress: Callable[[int], None],
) -> Texts:
  """Return the tokens of all texts; groups that the folder holds are not made again.

  Args:
    folder: folder of the groups.
    pieces: returns the pieces of all texts.
    encoding: how they are encoded.
    total: number of their bytes.
    processes: number of processes; None for as many as pay.
    progress: is called with the number of bytes of each unit.
  """
  done, skipped = 0, 0  # Groups and pieces that the folder holds.
  while (path := _path(folder, done)).exists():
    sizes = np.load(_sizes_path(path))
    progress(int(sizes[:, 2].sum()))
    total -= int(sizes[:, 2].sum())
    skipped += len(sizes)
    done += 1
  units = _units(itertools.islice(pieces(), skipped, None))
  rows_of: deque[np.ndarray] = deque()  # Of units that are being encoded.

  def noted() -> Iterator[list[Piece]]:
    for unit in units:
      rows_of.append(_rows(unit))
      yield unit

  results = encoded(noted(), encoding, total, processes)
  while True:
    rows: list[np.ndarray] = []
    tokens: list[np.ndarray] = []
    for unit in itertools.islice(results, GROUP):
      own = rows_of.popleft()
      own[:, 1] = [len(piece) for piece in unit]
      progress(int(own[:, 2].sum()))
      rows.append(own)
      tokens += unit
    if not rows:
      break
    path = _path(folder, done)
    save_array(_sizes_path(path), np.concatenate(rows))
    save_array(path, np.concatenate(tokens))
    done += 1
  return _texts([_path(folder, number) for number in range(done)])


def remove_groups(folder: Path) -> None:
  """Remove the groups of a folder."""
  for path in folder.glob(f"{PREFIX}-*"):
    path.unlink()


def _texts(paths: list[Path]) -> Texts:
  rows = np.concatenate([np.load(_sizes_path(path)) for path in paths])
  sizes = np.zeros((int(rows[-1, 0]) + 1, 3), np.int64)
  np.add.at(sizes, rows[:, 0], rows[:, 1:])
  tokens = Shards([known_shard(path, "") for path in paths])
  return Texts(tokens, np.cumsum(sizes[:, 0]), sizes)


def _units(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
  unit: list[Piece] = []
  size = 0
  for piece in pieces:
    unit.append(piece)
    size += len(piece.content)
    if size >= UNIT:
      yield unit
      unit, size = [], 0
  if unit:
    yield unit


def _rows(unit: list[Piece]) -> np.ndarray:
  """Return text, tokens (unknown yet), bytes and characters of each piece: [pieces, 4]."""
  return np.array(
    [
      (piece.text, 0, len(piece.content), count_characters(piece.content))
      for piece in unit
    ],
    np.int64,
  )


def _path(folder: Path, number: int) -> Path:
  return folder / f"{PREFIX}-{number:05}.npy"


def _sizes_path(path: Path) -> Path:
  return path.with_suffix(".sizes")


def save_array(path: Path, array: np.ndarray) -> None:
  """Write an array to a file, atomically."""
  write_atomically(path.parent, lambda file: np.save(file, array), lambda _: path.name)
