"""Files of tab-separated values with a label and a text per line, as tokens of one byte.

The layouts are those of Long Range Arena (Tay et al., arXiv:2011.04006) and of tables whose
first line names their columns. A file is read once, as a stream: what stays in memory is a
byte per token.
"""

import codecs
import csv
import hashlib
import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from attention_lab.dataset.reader.paths import refuse_irregular, unreadable
from attention_lab.errors import UserError

LABEL, TEXT = ("label", "Target"), ("text", "sentence", "Source")  # Usual names.
# Columns of files without names: of text classification, and of AAN's pairs of papers.
UNNAMED = {2: (0, (1,)), 5: (0, (3, 4))}
MOST_LABELS = 1000


class Columns(NamedTuple):
  """The columns of a file."""

  names: Sequence[str]  # Of the first line; [] if it has an example.
  width: int  # Number of columns.
  label: int
  texts: tuple[int, ...]  # Texts that are read one after another.


class Table(NamedTuple):
  """The examples of a split."""

  tokens: np.ndarray  # uint8: texts one after another.
  starts: np.ndarray  # [N, texts + 1]: the first token of each text, and the end.
  labels: Sequence[str]  # [N]
  origins: Mapping[str, str]  # Label → "FILE, line 3", where it is first.
  sha256: str

  def texts(self, number: int) -> list[np.ndarray]:
    """Return the texts of an example, each uint8 [tokens]."""
    bounds = self.starts[number]
    return [self.tokens[a:b] for a, b in itertools.pairwise(bounds)]


def columns_of(path: Path, quoted: bool, label: str = "", text: str = "") -> Columns:
  """Return the columns of a file.

  Args:
    path: the file.
    quoted: whether a field may be in quotes.
    label: name of the column of labels; "" for a usual name.
    text: name of the column of texts; "" for a usual name, or the only other column.

  Raises:
    UserError: the file cannot be read, is empty, or has no such columns.
  """
  first = next(iter(_fields(path, quoted)), (0, []))[1]
  row = [field.decode("utf-8", "replace") for field in first]
  if not row:
    raise UserError(f"{path} has no example.")
  label = label or next((name for name in LABEL if name in row), "")
  if not label and not text and len(row) in UNNAMED:
    return Columns([], len(row), *UNNAMED[len(row)])
  others = [name for name in row if name != label]
  usual = next((name for name in TEXT if name in row), "")
  text = text or usual or (others[0] if len(others) == 1 else "")
  if label not in row or text not in row or label == text:
    found = ", ".join(repr(name[:20]) for name in row[:6])
    raise UserError(
      f"{path} begins with {len(row)} columns: {found}. Readable are label and text; "
      f"label, id1, id2, text1 and text2; or names of columns in the first line, of which "
      f"label='…' and text='…' choose two."
    )
  return Columns(row, len(row), row.index(label), (row.index(text),))


def read_table(
  paths: Sequence[Path],
  columns: Columns,
  quoted: bool,
  most: int,
  words: Mapping[str, int],
) -> Table:
  """Return the examples of consecutive files.

  Args:
    paths: the files.
    columns: their columns.
    quoted: whether a field may be in quotes.
    most: tokens of a text, from its start, that are kept.
    words: tokens by word, if they are the words between spaces, without parentheses;
      {} for bytes.

  Raises:
    UserError: a file cannot be read, or a line has no example.
  """
  read, digest = _Read(), hashlib.sha256()
  for path in paths:
    for line, row in _fields(path, quoted, digest):
      where = f"{path}, line {line:,}"
      if line == 1 and columns.names:
        if [field.decode("utf-8", "replace") for field in row] != columns.names:
          raise UserError(f"{where}: it does not name the columns of the first file.")
        continue
      if len(row) != columns.width:
        raise UserError(
          f"{where}: it has {len(row)} columns between tabs, and the first line "
          f"{columns.width}."
        )
      texts = (row[text] for text in columns.texts)
      known = (_words(text, words, where) if words else text for text in texts)
      read.add(
        _label(row[columns.label], where), [text[:most] for text in known], where
      )
    if len(read.origins) > MOST_LABELS:
      raise UserError(
        f"{path} has more than {MOST_LABELS:,} different labels: is that column the text?"
      )
  if not read.labels:
    raise UserError(f"{paths[0]} has no example.")
  return read.table(digest.hexdigest())


class _Read:
  """The examples that have been read."""

  def __init__(self) -> None:
    self.tokens = bytearray()
    self.starts: list[list[int]] = []
    self.labels: list[str] = []
    self.origins: dict[str, str] = {}

  def add(self, label: str, texts: Sequence[bytes], where: str) -> None:
    """Add an example."""
    self.labels.append(sys.intern(label))
    self.origins.setdefault(label, where)
    ends = itertools.accumulate(map(len, texts), initial=len(self.tokens))
    self.starts.append(list(ends))
    for text in texts:
      self.tokens += text

  def table(self, sha256: str) -> Table:
    """Return all examples."""
    tokens = np.frombuffer(self.tokens, np.uint8)
    starts = np.array(self.starts, np.int64)
    return Table(tokens, starts, self.labels, self.origins, sha256)


def _label(field: bytes, where: str) -> str:
  """Return a label as text."""
  try:
    label = field.decode().strip()
  except UnicodeDecodeError:
    label = ""
  if not label:
    raise UserError(f"{where}: its label is empty, or not UTF-8.")
  return label


def _words(field: bytes, words: Mapping[str, int], where: str) -> bytes:
  """Return the tokens of a text, one byte each."""
  text = field.decode("utf-8", "replace").replace("(", " ").replace(")", " ").split()
  if unknown := next((word for word in text if word not in words), None):
    raise UserError(f"{where}: {unknown[:20]!r} is no word of {' '.join(words)}.")
  return bytes(words[word] for word in text)


def _fields(
  path: Path, quoted: bool, digest: "hashlib._Hash | None" = None
) -> Iterator[tuple[int, list[bytes]]]:
  """Yield the number of each line, from 1, with its fields."""
  refuse_irregular(path)
  try:
    with open(path, "rb") as file:
      lines = _lines(file, digest)
      if quoted:
        yield from _quoted(path, lines)
        return
      for number, line in enumerate(lines, 1):
        if content := line.rstrip(b"\r\n"):
          yield number, content.split(b"\t")
  except OSError as error:
    raise unreadable(path, error) from None


def _lines(file: IO[bytes], digest: "hashlib._Hash | None") -> Iterator[bytes]:
  start = codecs.BOM_UTF8
  for line in file:
    if digest is not None:
      digest.update(line)
    yield line.removeprefix(start)
    start = b""


def _quoted(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[int, list[bytes]]]:
  """Yield as `_fields`, where quotes may enclose a field, and double quotes in it."""
  csv.field_size_limit(sys.maxsize)
  code = "utf-8", "surrogateescape"
  reader = csv.reader((line.decode(*code) for line in lines), "excel-tab", strict=True)
  try:
    for row in filter(None, reader):
      yield reader.line_num, [field.encode(*code) for field in row]
  except csv.Error as error:
    raise UserError(f"{path}, line {reader.line_num:,}: {error}.") from None
