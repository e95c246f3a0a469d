"""Files of lines, read as a stream: however large they are, little memory is needed.

A line ends with "\\n" or "\\r\\n", and with nothing else. A byte-order mark at the start of
a file is no part of its first line.
"""

import codecs
import functools
import hashlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from attention_lab.dataset.reader.paths import unreadable
from attention_lab.errors import UserError

BLOCK = 1 << 20  # Bytes read at a time.


class FileInfo(NamedTuple):
  """Digest and length of a file."""

  sha256: str
  lines: int  # Including a last line without a line feed.


def file_info(path: Path) -> FileInfo:
  """Return the digest and length of a UTF-8 file, cached until the file changes.

  Raises:
    UserError: the file cannot be read, is empty, or is not UTF-8 (with the line).
  """
  try:
    status = os.stat(path)
    return _file_info(path, status.st_size, status.st_mtime_ns)
  except OSError as error:
    raise unreadable(path, error) from None


@functools.lru_cache(maxsize=256)
def _file_info(path: Path, size: int, modified: int) -> FileInfo:
  del modified
  if not size:
    raise UserError(f"{path} is empty.")
  digest, decoder = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")()
  lines, last = 0, b""
  with open(path, "rb") as file:
    while block := file.read(BLOCK):
      _refuse_other_text(decoder, block, path, lines)
      digest.update(block)
      lines += block.count(b"\n")
      last = block[-1:]
  _refuse_other_text(decoder, b"", path, lines)
  return FileInfo(digest.hexdigest(), lines + (last != b"\n"))


def _refuse_other_text(
  decoder: codecs.IncrementalDecoder, block: bytes, path: Path, lines: int
) -> None:
  """Raise `UserError` unless the next block continues valid UTF-8; empty at the end."""
  try:
    decoder.decode(block, final=not block)
  except UnicodeDecodeError as error:
    line = lines + error.object[: error.start].count(b"\n") + 1
    raise UserError(f"{path} is not UTF-8 text (line {line}).") from None


def read_lines(paths: Sequence[Path], every: int = 1) -> Iterator[str]:
  """Yield every `every`-th line of consecutive files, without its line end."""
  number = 0
  for path in paths:
    with open(path, "rb") as file:
      for line in _lines(file):
        if number % every == 0:
          yield line.decode()
        number += 1


def user_lines(name: str, flag: str) -> list[str]:
  """Return the lines of a file that the user names, or of standard input for "-".

  Args:
    name: what the user typed.
    flag: the flag that names the file.

  Raises:
    UserError: the file cannot be read, or is not UTF-8 (with the line).
  """
  lines: list[str] = []
  try:
    content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    for line in _lines(io.BytesIO(content)):
      lines.append(line.decode())
  except UnicodeDecodeError:
    where = "standard input" if name == "-" else name
    number = len(lines) + 1
    raise UserError(f"--{flag}: {where} is not UTF-8 text (line {number}).") from None
  except ValueError:
    raise UserError(f"--{flag}={name!r} is no path.") from None
  except OSError as error:
    raise UserError(f"--{flag}={name}: {error.strerror}.") from None
  return lines


def _lines(file: IO[bytes]) -> Iterator[bytes]:
  """Yield the lines of a file without their ends."""
  start = codecs.BOM_UTF8
  for line in file:
    ended = line[:-1].removesuffix(b"\r") if line.endswith(b"\n") else line
    yield ended.removeprefix(start)
    start = b""
