"""Sequences of tokens as examples: windows, in each the next token to predict."""

import abc
import dataclasses
from collections.abc import Iterator

import numpy as np

from attention_lab.dataset.base.dataset import Batch, Dataset
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.vocabulary import separator_of, token_bytes_of

MOST_OF_PROMPT = 16  # Most tokens of the default prompt.
BLOCK = 1 << 20  # Tokens that are read at a time to count words.


@dataclasses.dataclass(kw_only=True)
class Windows(Dataset):
  """Windows that share no target.

  One pass over the training split cuts it into windows that do not overlap, from an offset
  that differs from pass to pass. Validation windows cover every token after the first
  exactly once. A subclass writes `length` and `windows` instead of `size` and
  `examples`.
  """

  def __post_init__(self) -> None:
    for option, least in (("sequence_length", 1), ("seed", 0)):
      if (value := getattr(self, option)) < least:
        raise UserError(f"{option}={value}: take {least} or more.")

  @property
  def token_bytes(self) -> np.ndarray | None:
    return token_bytes_of(self.vocabulary)

  @abc.abstractmethod
  def length(self, split: str) -> int:
    """Return the number of tokens of a split."""

  @abc.abstractmethod
  def windows(self, split: str, starts: np.ndarray) -> np.ndarray:
    """Return the `sequence_length` + 1 tokens from each start on: int32 [B, T + 1].

    Those behind the end of the split have weight 0; they may be any tokens.
    """

  def bytes_per_token(self, split: str) -> float | None:
    """Return the mean bytes of original text per token; None if unknown or no text.

    They are needed where `token_bytes` is None.
    """
    del split
    return None

  def words(self, split: str) -> int | None:
    """Return the number of words of a split, separated by whitespace.

    None if the split is no text, or a prefix is left out of it.

    Each document is decoded as a whole: where tokens meet inside a word, or a decoder
    removes the space at the beginning, pieces would give another number.
    """
    if self.token_bytes is None or self.prefix_length:
      return None
    separator = separator_of(self.vocabulary)
    texts = (
      self.vocabulary.decode(document[document != separator])
      for document in self._documents(split)
    )
    return sum(len(text.split()) for text in texts)

  def _documents(self, split: str) -> Iterator[np.ndarray]:
    """Yield the tokens of each document of a split, from its separator on."""
    separator, length = separator_of(self.vocabulary), self.length(split)
    rows = max(1, BLOCK // self.sequence_length)
    begun: list[np.ndarray] = []  # Pieces of a document that has not ended.
    for first in range(0, length, rows * self.sequence_length):
      last = min(first + rows * self.sequence_length, length)
      starts = np.arange(first, last, self.sequence_length)
      tokens = self.windows(split, starts)[:, :-1].ravel()[: last - first]
      *whole, rest = np.split(tokens, np.flatnonzero(tokens == separator))
      for piece in whole:
        yield np.concatenate([*begun, piece])
        begun = []
      begun.append(rest)
    yield np.concatenate(begun)

  def size(self, split: str) -> int:
    targets = self.length(split) - 1
    if split == "train":  # The offset, up to T - 1, may cost one window.
      return max(1, (targets - self.sequence_length + 1) // self.sequence_length)
    return -(-targets // self.sequence_length)

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    all_tokens, length = self.length(split), self.sequence_length
    offset = 0
    if split == "train":
      room = min(length, all_tokens - length)
      offset = int(self.order.random(self.seed, epoch, 1).integers(room))
    starts = offset + indices * length
    tokens = self.windows(split, starts)
    inside = starts[:, None] + np.arange(1, length + 1) < all_tokens
    return Batch(tokens[:, :-1], tokens[:, 1:], inside.astype(np.float32))


def first_text(dataset: Windows) -> str:
  """Return the text of the first validation tokens, of as few as make a text.

  With a prefix, as few as make a text of as many tokens.
  """
  vocabulary, least = dataset.vocabulary, dataset.prefix_length
  length = min(dataset.length("validation"), dataset.sequence_length)
  if not least:
    length = min(length, MOST_OF_PROMPT)
  tokens = dataset.windows("validation", np.zeros(1, np.int64))[0, :length]
  start = int(tokens[0] == separator_of(vocabulary))
  found = ""
  for end in range(start + max(1, least), length + 1):
    found = vocabulary.decode(tokens[start:end])
    whole = found and not found.endswith("\ufffd")  # Not within a character.
    if whole and (not least or len(vocabulary.encode(found)) >= least):
      break
  return found
