"""Lines of tokens on disk: written once as a stream, then mapped into memory."""

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from attention_lab.dataset.base.digests import (
  DIGESTS,
  damaged,
  refuse_damaged,
  write_digests,
)
from attention_lab.system.files import made_once, write_atomically

TOKENS, ENDS = "tokens", "ends.npy"
CHUNK = 10_000  # Lines encoded at a time.
SECONDS = 5.0  # Least time between two progress messages.


class Lines(NamedTuple):
  """Lines of tokens, concatenated."""

  tokens: np.ndarray  # [all + 1]: one more, so that no file is empty.
  ends: np.ndarray  # [lines + 1]: 0, then the end of each line.

  @property
  def lengths(self) -> np.ndarray:
    """Tokens of each line: int64 [lines]."""
    return np.diff(self.ends)

  def take(self, numbers: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first `length` tokens of some lines, int32 [B, length].

    Shorter lines are followed by other tokens; the second result is the number of tokens
    that belong to each line, int64 [B, 1].
    """
    starts, ends = self.ends[numbers], self.ends[numbers + 1]
    at = np.asarray(starts)[:, None] + np.arange(length)
    tokens = np.asarray(self.tokens.take(at, mode="clip"), np.int32)
    return tokens, np.minimum(ends - starts, length)[:, None]


def token_file(
  folder: Path,
  lines: Callable[[], Iterable[str]],
  encode: Callable[[Sequence[str]], list[list[int]]],
  size: int,
  name: str,
) -> Lines:
  """Return the tokens of `lines`, encoding them only if the folder does not hold them.

  Args:
    folder: folder named after everything that the tokens depend on.
    lines: returns the lines.
    encode: encodes some lines as tokens.
    size: size of the vocabulary.
    name: name of the files, for the message if encoding takes long.
  """
  dtype = np.min_scalar_type(size - 1)
  lengths: list[np.ndarray] = [np.zeros(1, np.int64)]

  def write(file: IO[bytes]) -> None:
    for chunk in _with_progress(_chunks(lines()), name):
      encoded = encode(chunk)
      lengths.append(np.array([len(line) for line in encoded]))
      file.write(np.fromiter(itertools.chain(*encoded), dtype).tobytes())
    file.write(np.zeros(1, dtype).tobytes())

  def write_ends(file: IO[bytes]) -> None:
    np.save(file, np.cumsum(np.concatenate(lengths)))

  def make(path: Path) -> None:
    write_atomically(folder, write, lambda _: TOKENS)
    write_atomically(folder, write_ends, lambda _: ENDS)
    write_digests(folder, (TOKENS, ENDS))

  made_once(folder / DIGESTS, make, "data_dir")
  return _mapped(folder, dtype)


def _mapped(folder: Path, dtype: np.dtype) -> Lines:
  """Map the files of a folder into memory; raise `UserError` if they are damaged."""
  refuse_damaged(folder, (TOKENS, ENDS))
  try:
    ends = np.load(folder / ENDS, mmap_mode="r", allow_pickle=False)
    tokens = np.memmap(os.fspath(folder / TOKENS), dtype, "r")
    if ends.ndim != 1 or len(tokens) != ends[-1] + 1:
      raise ValueError
  except (ValueError, EOFError, OSError, IndexError):
    raise damaged(folder) from None
  return Lines(tokens, ends)


def _chunks(lines: Iterable[str]) -> Iterator[list[str]]:
  lines = iter(lines)
  while chunk := list(itertools.islice(lines, CHUNK)):
    yield chunk


def _with_progress(chunks: Iterator[list[str]], name: str) -> Iterator[list[str]]:
  """Yield the chunks; print progress on standard error if it takes long."""
  done, printed = 0, time.perf_counter()
  for chunk in chunks:
    yield chunk
    done += len(chunk)
    if time.perf_counter() - printed >= SECONDS:
      print(f"{name}: {done:,} lines encoded", file=sys.stderr)
      printed = time.perf_counter()
