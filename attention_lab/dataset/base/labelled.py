"""Texts with a label each, which the last token of a text asks for."""

import dataclasses
import functools
import re
from collections.abc import Iterable, Sequence

import numpy as np

from attention_lab.dataset.base.dataset import Batch
from attention_lab.tokenizer.base.vocabulary import WordVocabulary

BYTES = 256
MARKS = ("[PAD]", "[SEP]", "[CLS]")


def labelled(
  rows: Sequence[np.ndarray], labels: np.ndarray, length: int, padding: int
) -> Batch:
  """Return examples in which the label counts alone, as the target of the last token.

  Args:
    rows: tokens of each example, integers, at least 1 and at most `length`.
    labels: token of each example's label: [B].
    length: tokens per example (T).
    padding: token behind the end of shorter examples.
  """
  inputs = np.full((len(rows), length), padding, np.int32)
  targets = np.zeros_like(inputs)
  weights = np.zeros(inputs.shape, np.float32)
  for number, row in enumerate(rows):
    inputs[number, : len(row)] = row
    targets[number, len(row) - 1] = labels[number]
    weights[number, len(row) - 1] = 1
  return Batch(inputs, targets, weights)


@dataclasses.dataclass(frozen=True)
class LabelledVocabulary:
  """Bytes or words, then `[PAD]`, `[SEP]` and `[CLS]`, then the labels in brackets."""

  words: tuple[str, ...]  # () for bytes.
  labels: tuple[str, ...]

  @property
  def size(self) -> int:
    """Number of tokens."""
    return self.first + len(self.labels)

  @property
  def padding(self) -> int:
    """The token that fills examples up."""
    return len(self.words) or BYTES

  @property
  def between(self) -> int:
    """The token between two texts."""
    return self.padding + 1

  @property
  def asks(self) -> int:
    """The token whose target is the label."""
    return self.padding + 2

  @property
  def first(self) -> int:
    """The token of the first label."""
    return self.padding + len(MARKS)

  @functools.cached_property
  def _marks(self) -> tuple[str, ...]:
    """The tokens from `padding` on."""
    return *MARKS, *(f"[{label}]" for label in self.labels)

  @functools.cached_property
  def _words(self) -> WordVocabulary:
    """The vocabulary of all tokens, if they are words."""
    return WordVocabulary((*self.words, *self._marks))

  def encode(self, text: str) -> np.ndarray:
    """Return a text, with marks in brackets, as int32 [length]."""
    if self.words:
      return self._words.encode(text)
    tokens: list[int] = []
    for piece in re.split(f"({'|'.join(map(re.escape, self._marks))})", text):
      if piece in self._marks:
        tokens.append(self.padding + self._marks.index(piece))
      else:
        tokens += piece.encode("utf-8", "surrogateescape")
    return np.array(tokens, np.int32)

  def decode(self, tokens: Iterable[int]) -> str:
    """Return tokens as text, without padding; what is not UTF-8 is replaced."""
    known = [int(token) for token in tokens if token != self.padding]
    if self.words:
      return self._words.decode(known)
    content = b"".join(
      bytes([token]) if token < BYTES else self._marks[token - BYTES].encode()
      for token in known
    )
    return content.decode("utf-8", "replace")
