"""Bytes as tokens, without decoding, as for enwik8 and text8."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from attention_lab.tokenizer.base.tokenizer import Tokenizer, register_tokenizer
from attention_lab.tokenizer.base.vocabulary import Document

BYTES = 256


@register_tokenizer("bytes")
@dataclasses.dataclass(kw_only=True)
class Bytes(Tokenizer):
  """Each byte of the files is a token; a separator is token 256."""

  reads: ClassVar[type] = bytes
  learns_from: ClassVar[str] = "none"
  fast: ClassVar[bool] = True

  def learn(
    self, documents: Callable[[], Iterable[Document]], separated: bool
  ) -> Mapping[str, bytes]:
    del documents, separated
    return {}

  def vocabulary(self, files: Mapping[str, bytes], separated: bool) -> "ByteVocabulary":
    del files
    return ByteVocabulary(separated)


@dataclasses.dataclass(frozen=True)
class ByteVocabulary:
  """Token i is the byte i; decoding replaces what is not UTF-8."""

  separated: bool  # Whether there is a separator.

  @property
  def size(self) -> int:
    """Number of tokens."""
    return BYTES + self.separated

  @property
  def separator(self) -> int | None:
    """The token in front of each document; None if the text is one document."""
    return BYTES if self.separated else None

  @property
  def token_bytes(self) -> np.ndarray:
    """Bytes of the original text that each token stands for: int32 [V]."""
    return (np.arange(self.size) < BYTES).astype(np.int32)

  def encode(self, text: str) -> np.ndarray:
    """Return a text as int32 [bytes in UTF-8]."""
    return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8).astype(
      np.int32
    )

  def encode_documents(self, documents: Sequence[Document]) -> list[np.ndarray]:
    """Return the bytes of each document, uint8 [length]."""
    encoded = (x if isinstance(x, bytes) else x.encode() for x in documents)
    return [np.frombuffer(document, np.uint8) for document in encoded]

  def decode(self, tokens: Iterable[int]) -> str:
    """Return tokens as text, without separators."""
    content = bytes(int(token) for token in tokens if 0 <= token < BYTES)
    return content.decode("utf-8", "replace")
