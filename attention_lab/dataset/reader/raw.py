"""A file of raw text: one document."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from attention_lab.dataset.reader.document import Document, Reading, pieces_of
from attention_lab.dataset.reader.paths import refuse_irregular, unreadable
from attention_lab.dataset.reader.stream import blocks_of
from attention_lab.errors import UserError


def read(path: Path, reading: Reading) -> Iterator[Document]:
  """Yield the only document of a file; it has no byte-order mark if it is decoded."""
  pieces = pieces_of(blocks_of(path))
  yield Document(str(path), _decodable(path, pieces) if reading.decoded else pieces)


def _decodable(path: Path, pieces: Iterator[bytes]) -> Iterator[bytes]:
  """Yield pieces that are UTF-8; raise `UserError` if they are not."""
  offset = 0
  for piece in pieces:
    refuse_undecodable(piece, str(path), offset)
    yield piece if offset else piece.removeprefix(codecs.BOM_UTF8)
    offset += len(piece)


def content_of(path: Path) -> bytes:
  """Return the content of a file; raise `UserError` if it cannot be read."""
  refuse_irregular(path)
  try:
    return path.read_bytes()
  except OSError as error:
    raise unreadable(path, error) from None


def text_in(content: bytes, path: Path) -> str:
  """Return the content of a file as text without a byte-order mark at its start."""
  return refuse_undecodable(content.removeprefix(codecs.BOM_UTF8), str(path), 0)


def refuse_undecodable(content: bytes, origin: str, offset: int) -> str:
  """Return the text of bytes; raise `UserError` if they are not UTF-8.

  Args:
    content: the bytes.
    origin: their place, for the message.
    offset: number of bytes of the file in front of them.
  """
  try:
    return content.decode()
  except UnicodeDecodeError as error:
    place = f"byte {offset + error.start:,}"
    raise UserError(f"{origin} is not UTF-8 text ({place}).") from None
