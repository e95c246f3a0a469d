"""Vocabularies of characters and of words: encode text as tokens, and decode tokens."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from attention_lab.errors import UserError

# A document as a tokenizer takes it: `bytes` if its `reads` is bytes, or `str`.
Document = str | bytes
MOST_WORDS = 1_000_000  # Largest number of words in a vocabulary.


class Vocabulary(Protocol):
  """Names of the tokens of a dataset."""

  @property
  def size(self) -> int:
    """Number of tokens."""

  def encode(self, text: str) -> np.ndarray:
    """Return a text as int32 [length]; raise `UserError` for an unknown symbol."""

  def decode(self, tokens: Iterable[int]) -> str:
    """Return tokens as text."""


def separator_of(vocabulary: Vocabulary) -> int | None:
  """Return the token in front of each document; None if the vocabulary has none."""
  found: int | None = getattr(vocabulary, "separator", None)
  return found


def token_bytes_of(vocabulary: Vocabulary) -> np.ndarray | None:
  """Return the bytes of the original text per token: int32 [V], 0 for separators.

  None if the tokens are not those of a text, or bytes cannot be assigned to them.
  """
  found: np.ndarray | None = getattr(vocabulary, "token_bytes", None)
  return found


def padding_of(vocabulary: Vocabulary) -> int | None:
  """Return the token that fills examples up, behind their end; None if there is none.

  Bidirectional architectures give it negative positions, so that no token attends to it;
  causal ones need no mask, since it follows what counts.
  """
  found: int | None = getattr(vocabulary, "padding", None)
  return found


def text_of(document: Document) -> str:
  """Return a document of a tokenizer that reads `str`."""
  assert isinstance(document, str), type(document)
  return document


def special_token_of(vocabulary: Vocabulary, name: str) -> int | None:
  """Return the special token of a name, which no text is encoded as; None if unknown."""
  find = getattr(vocabulary, "special_token", None)
  found: int | None = None if find is None else find(name)
  return found


def code_points(text: str) -> np.ndarray:
  """Return the code point of each character of a text: uint32 [len(text)]."""
  return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def difference(one: Vocabulary, other: Vocabulary) -> tuple[int, str, str] | None:
  """Return the first token that differs, and how both write it; None if they are equal."""
  tokens = [
    [each.decode([token]) for token in range(each.size)] for each in (one, other)
  ]
  if tokens[0] == tokens[1]:
    return None
  first = next(
    (i for i, pair in enumerate(zip(*tokens, strict=False)) if pair[0] != pair[1]),
    min(map(len, tokens)),
  )
  texts = [repr(each[first]) if first < len(each) else "none" for each in tokens]
  return first, texts[0], texts[1]


@dataclasses.dataclass(frozen=True)
class CharacterVocabulary:
  """Token i is the i-th of `characters`, which are distinct and sorted.

  A separator is the token after the last character.
  """

  characters: str
  separated: bool = False  # Whether there is a separator.

  @classmethod
  def of(cls, text: str) -> "CharacterVocabulary":
    """Return the vocabulary of all characters of `text`."""
    return cls("".join(sorted(set(text))))

  @property
  def size(self) -> int:
    """Number of tokens."""
    return len(self.characters) + self.separated

  @property
  def separator(self) -> int | None:
    """The token in front of each document; None if the text is one document."""
    return len(self.characters) if self.separated else None

  @functools.cached_property
  def token_bytes(self) -> np.ndarray:
    """Bytes of each character in UTF-8, and 0 for a separator: int32 [V]."""
    sizes = [len(c.encode("utf-8", "surrogatepass")) for c in self.characters]
    return np.array(sizes + [0] * self.separated, np.int32)

  @functools.cached_property
  def _table(self) -> np.ndarray:
    """Token of each code point; -1 for none."""
    table = np.full(max(map(ord, self.characters)) + 2, -1, np.int32)
    table[[ord(c) for c in self.characters]] = np.arange(len(self.characters))
    return table

  def encode(self, text: str) -> np.ndarray:
    """Return a text as int32 [len(text)]; raise `UserError` for an unknown character."""
    codes = code_points(text)
    tokens = self._table[np.minimum(codes, len(self._table) - 1)]
    if (tokens < 0).any():
      unknown = text[int(np.argmax(tokens < 0))]
      raise UserError(
        f"The character {unknown!r} is not in this dataset's vocabulary: "
        f"{self.characters!r}."
      )
    return tokens

  def encode_documents(self, documents: Sequence[Document]) -> list[np.ndarray]:
    """Return the characters of each document, int32 [length]."""
    return [self.encode(text_of(document)) for document in documents]

  def decode(self, tokens: Iterable[int]) -> str:
    """Return tokens as text, without separators."""
    count = len(self.characters)
    return "".join(
      self.characters[int(token)] for token in tokens if 0 <= token < count
    )


@dataclasses.dataclass(frozen=True)
class WordVocabulary:
  """Token i is the i-th of `words`, which are distinct; spaces stand between them."""

  words: tuple[str, ...]
  separator: int | None = None  # The token in front of each document, if there is one.

  @classmethod
  def numbers(cls, size: int, separator: int | None = None) -> "WordVocabulary":
    """Return the vocabulary of tokens that are written as numbers: "17 4 3".

    Raises:
      UserError: there are too many, or the separator is none of them.
    """
    if size > MOST_WORDS:
      raise UserError(f"A vocabulary of {size} words: take at most {MOST_WORDS}.")
    if separator is not None and not 0 <= separator < size:
      raise UserError(
        f"separator={separator} is outside the vocabulary of {size:,} tokens: take one of "
        f"0 to {size - 1:,}."
      )
    return cls(tuple(map(str, range(size))), separator)

  @classmethod
  def of_kinds(cls, *others: str, **counts: int) -> "WordVocabulary":
    """Return the numbered tokens of some kinds, `k=2, v=1`: "k0 k1 v0", and then others."""
    kinds = (f"{kind}{i}" for kind, count in counts.items() for i in range(count))
    return cls((*kinds, *others))

  @property
  def size(self) -> int:
    """Number of tokens."""
    return len(self.words)

  @functools.cached_property
  def _table(self) -> dict[str, int]:
    return {word: token for token, word in enumerate(self.words)}

  def encode(self, text: str) -> np.ndarray:
    """Return a text as int32 [words]; raise `UserError` for an unknown word."""
    words = text.split()
    unknown = [word for word in words if word not in self._table]
    if unknown:
      some = self.words if self.size <= 32 else (*self.words[:3], "…", self.words[-1])
      raise UserError(
        f"The word {unknown[0]!r} is not in this dataset's vocabulary: "
        f"{' '.join(some)}; leave a space between words."
      )
    return np.array([self._table[word] for word in words], np.int32)

  def decode(self, tokens: Iterable[int]) -> str:
    """Return tokens as text."""
    return " ".join(self.words[int(token)] for token in tokens)
