"""Documents of some files, as a stream: read anew by each pass, never held as a whole."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from attention_lab.dataset.reader.document import Document, Reading, pieces_of
from attention_lab.dataset.reader.paths import unreadable
from attention_lab.dataset.reader.source import Source
from attention_lab.errors import UserError
from attention_lab.system.files import make_folder, sha256_of, write_json

CRLF, LF = b"\r\n", b"\n"
# Seconds that a file has to be unchanged for before its digest is remembered: within the
# resolution of a clock, a second change would have the time of the first.
SETTLED = 2.0


Count = Callable[[int], None]


class Assigned(NamedTuple):
  """A document, and the split of its file."""

  split: str  # "" if documents are divided.
  document: Document


class Corpus:
  """The documents of files.

  Args:
    sources: the files.
    reading: how they are read.
    root: folder in which digests are remembered.
  """

  def __init__(self, sources: Sequence[Source], reading: Reading, root: Path):
    self.sources, self.reading, self.root = tuple(sources), reading, root

  def documents(self, count: Count = lambda ends: None) -> Iterator[Assigned]:
    """Yield the documents; "\\r\\n" is "\\n" in them if they are decoded.

    Args:
      count: is called with numbers of line ends that were replaced.
    """
    for source in self.sources:
      for document in source.documents(self.reading):
        pieces = document.pieces
        if self.reading.decoded:
          pieces = _line_feeds(pieces, count)
        yield Assigned(source.split, document._replace(pieces=pieces))

  @property
  def recipe(self) -> list[Any]:
    """All that the documents depend on."""
    splits = [source.split for source in self.sources]
    digests = source_digests([source.path for source in self.sources], self.root)
    return [list(self.reading), splits, digests]

  @property
  def name(self) -> str:
    """The name of the first file, for messages."""
    more = f" and {len(self.sources) - 1:,} more" if len(self.sources) > 1 else ""
    return f"{self.sources[0].path}{more}"


class LoadedCorpus:
  """A text in memory, as the only document."""

  def __init__(self, load: Callable[[], bytes], name: str):
    self._load, self.name = load, name

  def documents(self, count: Count = lambda ends: None) -> Iterator[Assigned]:
    """Yield the document."""
    del count
    yield Assigned("", Document(self.name, pieces_of([self._load()])))

  @property
  def recipe(self) -> list[Any]:
    """All that the document depends on."""
    return [hashlib.sha256(self._load()).hexdigest()]


def _line_feeds(pieces: Iterable[bytes], count: Count) -> Iterator[bytes]:
  for piece in pieces:
    if ends := piece.count(CRLF):
      count(ends)
    yield piece.replace(CRLF, LF) if ends else piece


class Table(NamedTuple):
  """Facts of each document, in order."""

  keys: np.ndarray  # [D] uint64: the first 8 bytes of the sha256 of its content.
  sizes: np.ndarray  # [D] int64: its bytes.
  characters: np.ndarray  # [D] int64: its characters, if it is UTF-8.
  splits: np.ndarray  # [D] text: the split of its file; "" if documents are divided.
  line_ends: int  # Number of "\r\n" that were replaced.
  sha256: str  # Of a single document, its own; of several, that of theirs.

  @classmethod
  def of_single(cls, size: int, characters: int) -> "Table":
    """Return the table of one document that is divided."""
    one = np.ones(1, np.int64)
    return cls(
      one.astype(np.uint64), one * size, one * characters, np.array([""]), 0, ""
    )


def scan(corpus: Corpus | LoadedCorpus, progress: Count) -> Table:
  """Read all documents once.

  Args:
    corpus: the documents.
    progress: is called with the number of bytes of each piece.
  """
  keys, sizes, characters, splits = [], [], [], []
  together, only = hashlib.sha256(), ""
  ends: list[int] = []
  for split, document in corpus.documents(ends.append):
    digest, size, count = hashlib.sha256(), 0, 0
    for piece in document.pieces:
      digest.update(piece)
      size += len(piece)
      count += count_characters(piece)
      progress(len(piece))
    keys.append(int.from_bytes(digest.digest()[:8], "little"))
    sizes.append(size)
    characters.append(count)
    splits.append(split)
    together.update(digest.digest() + split.encode())
    only = digest.hexdigest()
  if not sum(sizes):
    raise UserError(f"{corpus.name} has no text.")
  return Table(
    np.array(keys, np.uint64),
    np.array(sizes, np.int64),
    np.array(characters, np.int64),
    np.array(splits, "U10"),
    sum(ends),
    only if len(keys) == 1 else together.hexdigest(),
  )


def count_characters(content: bytes) -> int:
  """Return the number of characters of UTF-8."""
  return int(np.count_nonzero(character_starts(content)))


def character_starts(content: bytes) -> np.ndarray:
  """Return at which bytes a character of UTF-8 begins: bool [len(content)]."""
  return np.frombuffer(content, np.uint8) & 0xC0 != 0x80


def source_digests(paths: Sequence[Path], root: Path) -> list[str]:
  """Return the sha256 of files, which are read again only after a change.

  A change shows in a file's size, inode, or time of change, which no program can set.
  """
  together = "\0".join(str(path.absolute()) for path in paths)
  name = hashlib.sha256(together.encode("utf-8", "surrogateescape")).hexdigest()[:32]
  index = root / "sources" / f"{name}.json"
  known = _read_index(index)
  started = time.time()
  found: list[tuple[list[int], str]] = []
  for number, path in enumerate(paths):
    status = _status(path)
    same = number < len(known) and known[number][0] == status
    found.append((status, known[number][1] if same else _sha256(path)))
  settled = all(max(status[1:3]) / 1e9 < started - SETTLED for status, _ in found)
  if settled and [list(each) for each in found] != known:
    make_folder(index.parent, "data_dir")
    write_json(index, found)
  return [digest for _, digest in found]


def _read_index(path: Path) -> list[Any]:
  try:
    found = json.loads(path.read_bytes())
    return [[list(map(int, status)), str(digest)] for status, digest in found]
  except (OSError, ValueError, TypeError):
    return []  # It is made again.


def _status(path: Path) -> list[int]:
  try:
    found = os.stat(path)
  except OSError as error:
    raise unreadable(path, error) from None
  return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _sha256(path: Path) -> str:
  try:
    return sha256_of(path)
  except OSError as error:
    raise unreadable(path, error) from None
