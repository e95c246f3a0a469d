"""A document as a stream of pieces, which are cut where tokenizers cut, too."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

PIECE = 1 << 20  # Most bytes of a piece.
SPACES = b" \n\r\t"


class Document(NamedTuple):
  """One document of a file; its pieces are read before the next document is."""

  origin: str  # Its place, as "notes.jsonl, line 3".
  pieces: Iterator[bytes]


class Reading(NamedTuple):
  """Options of reading a file."""

  field: str = "text"  # Name of the field, or of the column, that holds the text.
  decoded: bool = True  # Whether the text has to be UTF-8, which a tokenizer decodes.


def pieces_of(blocks: Iterable[bytes]) -> Iterator[bytes]:
  """Yield blocks as pieces, whatever the size of the blocks is.

  A piece ends in front of a line end or else of a space in its second half, between two
  characters that are no spaces: subwords do not cross these places. If there is none, it
  ends between two characters of UTF-8.
  """
  rest = bytearray()
  for block in blocks:
    rest += block
    start = 0
    while len(rest) - start > PIECE:
      end = _cut(rest, start)
      yield bytes(rest[start:end])
      start = end
    del rest[:start]
  if rest:
    yield bytes(rest)


def _cut(content: bytearray, start: int) -> int:
  """Return the end of the piece that begins at `start`; more than it is there."""
  half, limit = start + PIECE // 2, start + PIECE
  for space in (b"\r\n", b"\n", b" "):
    at = content.rfind(space, half, limit)
    while at >= 0 and (content[at - 1] in SPACES or content[at + len(space)] in SPACES):
      at = content.rfind(space, half, at)
    if at >= 0:
      return at
  while limit > half and content[limit] & 0xC0 == 0x80:  # Within a character.
    limit -= 1
  return limit - (content[limit - 1 : limit + 1] == b"\r\n")
