"""Vocabulary whose tokens are bytes of the text: exact decoding and byte counts."""

import abc
import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from attention_lab.errors import UserError
from attention_lab.tokenizer.base.vocabulary import Document, text_of

# Texts with what tokenizers change or cannot encode: spaces, capitals, compositions of
# characters, characters that are rare, and those of tokens of bytes or separators.
PROBES = (
  "A b. don't 1234",
  "  a  b \n\n c\t\r\n ",
  "\u00a0é e\u0301 ﬁ ½ Å ß İ",
  "日本語 текст ▁ 😀\ufeff\0\ufffd",
  "<0x41></s><|endoftext|> ## @@",
)


@dataclasses.dataclass(frozen=True)
class Pieces(abc.ABC):
  """Vocabulary in which each token stands for the same bytes wherever it is."""

  @property
  @abc.abstractmethod
  def pieces(self) -> tuple[bytes, ...]:
    """Text of each token as bytes; empty for one that no document has."""

  @abc.abstractmethod
  def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
    """Return the tokens of each text, int32 [length]."""

  def __getstate__(self) -> dict[str, Any]:
    """Return the fields, without what is computed of them: libraries' objects."""
    return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

  @property
  def size(self) -> int:
    """Number of tokens."""
    return len(self.pieces)

  @functools.cached_property
  def token_bytes(self) -> np.ndarray | None:
    """Bytes of the original text that each token stands for: int32 [V]."""
    return self.piece_bytes()

  def piece_bytes(self) -> np.ndarray:
    """Return the number of bytes of each piece: int32 [V]."""
    return np.array(list(map(len, self.pieces)), np.int32)

  def encode(self, text: str) -> np.ndarray:
    """Return a text as int32 [length]."""
    return self.encode_documents([text])[0]

  def encode_documents(self, documents: Sequence[Document]) -> list[np.ndarray]:
    """Return the tokens of each document, int32 [length], without separators.

    Raises:
      UserError: a text has half of a surrogate pair, which is no character.
    """
    return self.tokens([_valid(document) for document in documents])

  def decode(self, tokens: Iterable[int]) -> str:
    """Return tokens as text, without separators; what is not UTF-8 is replaced."""
    size = self.size
    known = (int(token) for token in tokens if 0 <= token < size)
    return self.joined(known).decode("utf-8", "replace")

  def joined(self, tokens: Iterable[int]) -> bytes:
    """Return the bytes that tokens stand for."""
    return b"".join(map(self.pieces.__getitem__, tokens))

  def keeps_every_text(self) -> bool:
    """Return whether texts with what tokenizers change are encoded exactly."""
    encoded = self.tokens(PROBES)
    return all(
      self.joined(tokens) == text.encode()
      for text, tokens in zip(PROBES, encoded, strict=True)
    )


def _valid(document: Document) -> str:
  """Return a document; raise `UserError` if UTF-8 cannot hold it."""
  text = text_of(document)
  try:
    text.encode()
  except UnicodeEncodeError as error:
    raise UserError(
      f"A text has {text[error.start]!r} at place {error.start:,} (from 0), which is "
      f"half of a surrogate pair and no character; remove it."
    ) from None
  return text
