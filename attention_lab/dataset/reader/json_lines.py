"""JSON Lines: an object per line, of which one field is a document."""

import codecs
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from attention_lab.dataset.reader.document import Document, Reading, pieces_of
from attention_lab.dataset.reader.raw import refuse_undecodable
from attention_lab.dataset.reader.stream import blocks_of
from attention_lab.errors import UserError, nearest


def read(path: Path, reading: Reading) -> Iterator[Document]:
  """Yield the documents of a file; lines of spaces alone are none."""
  offset = 0
  for number, line in enumerate(_lines(blocks_of(path)), 1):
    origin = f"{path}, line {number:,}"
    text = refuse_undecodable(line, origin, offset)
    offset += len(line)
    if number == 1:
      text = text.removeprefix(codecs.BOM_UTF8.decode())
    if text.strip():
      content = text_of(_value(text, origin), reading.field, origin)
      yield Document(origin, pieces_of([content]))


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
  """Yield lines with their ends."""
  begun: list[bytes] = []  # The blocks of a line whose end has not been read.
  for block in blocks:
    *ended, rest = block.split(b"\n")
    for line in ended:
      yield b"".join((*begun, line, b"\n"))
      begun = []
    begun.append(rest)
  if last := b"".join(begun):
    yield last


def _value(text: str, origin: str) -> Any:
  """Return the value of a line of JSON."""
  try:
    return json.loads(text)
  except json.JSONDecodeError as error:
    raise UserError(
      f"{origin}: it is not JSON: {error.msg} at column {error.colno}."
    ) from None
  except RecursionError:
    raise UserError(f"{origin}: its JSON is nested too deeply.") from None


def text_of(value: Any, field: str, origin: str) -> bytes:
  """Return a field of an object as UTF-8.

  Raises:
    UserError: the value is no object, or has no such field, or it is no text.
  """
  if not isinstance(value, dict):
    raise UserError(f"{origin}: expected an object {{…}}, found {_kind(value)}.")
  if field not in value:
    raise missing_field(origin, field, value)
  text = value[field]
  if not isinstance(text, str):
    raise UserError(f"{origin}: the field {field!r} is {_kind(text)}, not a text.")
  try:
    return text.encode()
  except UnicodeEncodeError as error:
    raise UserError(
      f"{origin}: the field {field!r} has {text[error.start]!r}, half of a pair of UTF-16, "
      f"which is no character."
    ) from None


def missing_field(origin: str, field: str, names: Iterable[str]) -> UserError:
  """Return the error of a field that is not among the names of those there."""
  return UserError(
    f"{origin}: there is no field {field!r}. {nearest(field, names)} Name it with "
    f"field='...'."
  )


def _kind(value: Any) -> str:
  names = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
  return names.get(type(value), f"the {type(value).__name__} {value!r}")
