"""Token files of other programs: their layout, and their tokens by place.

Every start reads each file once, in blocks, for its sha256 and its largest token. Batches
read their windows alone, and without a mapping into memory: its pages are up to 2 MB large
and count as memory of the process, so that 64 steps map a file of 1 GB as a whole.
"""

import functools
import hashlib
import os
import stat
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from attention_lab.dataset.reader.paths import unreadable
from attention_lab.errors import UserError

# The header of the shards of modded-nanogpt: words of int32, of which the third is the
# number of tokens and the others are 0.
MAGIC, VERSION = 20240520, 1
HEADER = 1024  # Bytes.
MAGICS = range(20_200_000, 21_000_000)  # Dates, as other versions of that header have.
DTYPES = ("uint8", "uint16", "uint32", "int32", "int64")  # Of tokens in .npy files.
BLOCK = 1 << 22  # Bytes read at a time.
MANY = 4_000_000_000  # Bytes that take long enough to read for a message.


class Layout(NamedTuple):
  """Place of the tokens in a file."""

  dtype: np.dtype
  offset: int  # Bytes before the first token.
  length: int  # Number of tokens.

  @property
  def end(self) -> int:
    """Size of the file, in bytes."""
    return self.offset + self.length * self.dtype.itemsize


class Shard(NamedTuple):
  """A token file, as it was when it was read."""

  path: Path
  layout: Layout
  modified: int  # Nanoseconds.
  sha256: str
  farthest: int  # The largest token, or a negative one.
  place: int  # Number of that token, from 0.

  def read(self, spans: Iterable[tuple[int, int]]) -> Iterator[np.ndarray]:
    """Yield the tokens from a number to before another, for each such span.

    Raises:
      UserError: the file has changed since.
    """
    layout, size = self.layout, self.layout.dtype.itemsize
    try:
      with open(self.path, "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns) != (layout.end, self.modified):
          raise _changed(self.path)
        for first, last in spans:
          place = layout.offset + first * size
          content = os.pread(file.fileno(), (last - first) * size, place)
          yield np.frombuffer(content, layout.dtype)
    except OSError as error:
      raise unreadable(self.path, error) from None


class Shards:
  """The tokens of consecutive files."""

  def __init__(self, files: Sequence[Shard]):
    self.files = tuple(files)
    self._ends = np.cumsum([file.layout.length for file in files])

  def __len__(self) -> int:
    return int(self._ends[-1])

  def take(self, starts: np.ndarray, length: int) -> np.ndarray:
    """Return the `length` tokens from each start on, int32 [B, length]; 0 behind the end.

    One file is open at a time, whatever the number of files.
    """
    found = np.zeros((len(starts), length), np.int32)
    first = np.searchsorted(self._ends, starts.min())
    last = np.searchsorted(self._ends, starts.max() + length)
    for number in range(first, min(last + 1, len(self.files))):
      file, end = self.files[number], self._ends[number]
      begin = end - file.layout.length
      rows = np.flatnonzero((starts < end) & (starts + length > begin))
      spans = np.stack([starts[rows], starts[rows] + length]).clip(begin, end)
      places = (spans - starts[rows]).T.tolist()
      pieces = file.read((spans - begin).T.tolist()) if len(rows) else ()
      for row, (left, right), piece in zip(rows, places, pieces, strict=True):
        found[row, left:right] = piece
    return found

  def pieces(self, spans: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the tokens of spans [N, 2], by file: the row, the first number, the tokens.

    A span that crosses the end of a file comes in several pieces. Spans are sorted.
    """
    for file, end in zip(self.files, self._ends, strict=True):
      begin = end - file.layout.length
      first = np.searchsorted(spans[:, 1], begin, "right")
      rows = np.arange(first, np.searchsorted(spans[:, 0], end))
      own = spans[rows].clip(begin, end)
      if len(rows):
        tokens = file.read((own - begin).tolist())
        yield from zip(rows.tolist(), own[:, 0].tolist(), tokens, strict=True)


def read_shards(paths: Sequence[Path]) -> Shards:
  """Return token files, each of which is read once until it changes.

  Raises:
    UserError: a file cannot be read, or is not a token file.
  """
  try:
    total = sum(os.stat(path).st_size for path in paths)
  except OSError:
    total = 0  # The message about it is of `_read`.
  if total > MANY:
    print(f"Reading {total / 1e9:,.0f} GB of token files …", file=sys.stderr)
  return Shards([_read(path) for path in paths])


def known_shard(path: Path, sha256: str) -> Shard:
  """Return a file that `numpy.save` wrote, whose sha256 is known; it is not read."""
  with open(path, "rb") as file:
    status = os.fstat(file.fileno())
    layout = _npy_layout(path, file, status.st_size)
  return Shard(path, layout, status.st_mtime_ns, sha256, -1, 0)


def _read(path: Path) -> Shard:
  try:
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
      raise UserError(f"{path} is a folder; name its files, as '{path}/*.bin'.")
    if not stat.S_ISREG(status.st_mode):  # Reading a pipe or a device may never end.
      raise UserError(f"{path} is not a regular file.")
    return _cached(path, status.st_size, status.st_mtime_ns)
  except OSError as error:
    raise unreadable(path, error) from None


@functools.cache
def _cached(path: Path, size: int, modified: int) -> Shard:
  layouts = {".bin": _bin_layout, ".npy": _npy_layout}
  if path.suffix not in layouts:
    raise UserError(f"{path}: the name of a token file ends in .bin or .npy.")
  with open(path, "rb") as file:
    layout = layouts[path.suffix](path, file, size)
    if layout.length < 1:
      raise UserError(f"{path} holds no token.")
    return Shard(path, layout, modified, *_scan(path, file, layout))


def _bin_layout(path: Path, file: IO[bytes], size: int) -> Layout:
  """Return the layout of uint16 tokens, with the header of modded-nanogpt or without."""
  dtype, head = np.dtype("<u2"), file.read(HEADER)
  words = np.frombuffer(head[: len(head) // 4 * 4], "<i4").tolist()
  if not _is_header(words):
    if size % 2:
      raise UserError(
        f"{path} has {size:,} bytes, an odd number; uint16 tokens have 2 each. It is "
        f"truncated, or not a token file."
      )
    return Layout(dtype, 0, size // 2)
  if len(head) < HEADER:
    raise UserError(f"{path} is truncated: its header has {HEADER:,} bytes.")
  magic, version, count = words[:3]
  if (magic, version) != (MAGIC, VERSION):
    raise UserError(
      f"{path} has a header of magic {magic}, version {version}; readable are magic "
      f"{MAGIC}, version {VERSION}, and uint16 tokens without a header."
    )
  if size != HEADER + 2 * count:
    raise UserError(
      f"{path} is truncated or damaged: its header says {count:,} tokens, but "
      f"{size - HEADER:,} bytes follow instead of {2 * count:,}."
    )
  return Layout(dtype, HEADER, count)


def _is_header(words: Sequence[int]) -> bool:
  """Return whether a file begins with a header, of whichever version."""
  known = words[:1] == [MAGIC]
  return known or (
    len(words) == HEADER // 4 and words[0] in MAGICS and not any(words[3:])
  )


def _npy_layout(path: Path, file: IO[bytes], size: int) -> Layout:
  """Return the layout of an array that `numpy.save` wrote."""
  readers = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
  }
  try:
    shape, _, dtype = readers[np.lib.format.read_magic(file)](file)
  except (ValueError, KeyError, TypeError, SyntaxError, tokenize.TokenError):
    raise UserError(f"{path} is not an array that numpy.save wrote.") from None
  if dtype.name not in DTYPES:
    raise UserError(f"{path} holds {dtype.name}; tokens are {', '.join(DTYPES)}.")
  if len(shape) != 1:
    raise UserError(
      f"{path} has the shape {list(shape)}; save one sequence: tokens.reshape(-1)."
    )
  layout = Layout(dtype, file.tell(), shape[0])
  if size != layout.end:
    raise UserError(
      f"{path} is truncated or damaged: an array of {layout.length:,} {dtype.name} needs "
      f"{layout.end:,} bytes, and it has {size:,}."
    )
  return layout


def _scan(path: Path, file: IO[bytes], layout: Layout) -> tuple[str, int, int]:
  """Return a file's sha256, and its largest or a negative token with its number."""
  file.seek(0)
  digest = hashlib.sha256(file.read(layout.offset))
  unsigned = np.dtype(layout.dtype.str.replace("i", "u"))  # Negative ones are largest.
  largest, token, place = -1, 0, 0
  for start in range(layout.offset, layout.end, BLOCK):
    block = file.read(BLOCK)
    if len(block) != min(BLOCK, layout.end - start):
      raise _changed(path)
    digest.update(block)
    tokens = np.frombuffer(block, layout.dtype)
    highest = int(tokens.view(unsigned).argmax())
    if int(tokens.view(unsigned)[highest]) > largest:
      largest, token = int(tokens.view(unsigned)[highest]), int(tokens[highest])
      place = (start - layout.offset) // layout.dtype.itemsize + highest
  return digest.hexdigest(), token, place


def _changed(path: Path) -> UserError:
  return UserError(f"{path} has changed while it was in use. Restore it, and resume.")
