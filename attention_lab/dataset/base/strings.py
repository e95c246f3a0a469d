"""Strings to strings: a random string, a bar, and its answer."""

import dataclasses
import functools
import string
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, each_array
from attention_lab.dataset.base.generated import Generated
from attention_lab.dataset.base.pairs import PairDataset
from attention_lab.tokenizer.base.vocabulary import (
  MOST_WORDS,
  CharacterVocabulary,
  Vocabulary,
  WordVocabulary,
)


@dataclasses.dataclass(kw_only=True)
class Strings(Generated, PairDataset):
  """`source|answer`, both of T / 2 letters: the answer counts.

  As pairs the source is an array of its own, and the inputs are the bar and the answer
  without its last letter.
  """

  tasks: ClassVar[tuple[str, ...]] = ("next_token", "pairs")

  sequence_length: int = 32  # Tokens per example; half of them are the string.
  alphabet: int = 8  # Number of letters; more than 26 are written as numbers.

  def check(self) -> None:
    known = 1 <= self.alphabet <= MOST_WORDS
    self.require("alphabet", known, f"1 letter or more, at most {MOST_WORDS}")
    even = self.sequence_length >= 2 and self.sequence_length % 2 == 0
    self.require("sequence_length", even, "an even number, 2 or more")

  @functools.cached_property
  def vocabulary(self) -> Vocabulary:
    if self.alphabet > len(string.ascii_lowercase):
      return WordVocabulary((*map(str, range(self.alphabet)), "|"))
    return CharacterVocabulary(string.ascii_lowercase[: self.alphabet] + "|")

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    batch = super().examples(split, epoch, indices)
    if self.task != "pairs":
      return batch
    half = self.sequence_length // 2
    return each_array(lambda array: array[:, half:], batch)._replace(
      source=batch.inputs[:, :half]
    )

  @property
  def start_token(self) -> int:
    return self.alphabet

  @property
  def answer_length(self) -> int:
    return self.sequence_length // 2

  def places(self) -> np.ndarray | None:
    """Return the place in the source of each letter of the answer; None if it varies."""
    return None

  def reference_attention(self, batch: Batch) -> np.ndarray | None:
    places = self.places()
    if places is None or self.task == "pairs":
      return None
    found = np.zeros((self.sequence_length, self.sequence_length), bool)
    found[np.arange(len(places)) + len(places), places] = True
    return np.broadcast_to(found, (len(batch.inputs), *found.shape))

  def letters(self, random: CounterRandom) -> np.ndarray:
    """Return random strings [B, T / 2]."""
    return random.integers(self.alphabet, self.sequence_length // 2)

  def join(
    self, source: np.ndarray, answer: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Return sources and answers [B, T / 2] as tokens, and which of them count."""
    bar = np.full((len(source), 1), self.alphabet)
    counts = np.zeros((len(source), self.sequence_length + 1), bool)
    counts[:, self.sequence_length // 2 + 1 :] = True
    return np.concatenate([source, bar, answer], axis=1), counts
