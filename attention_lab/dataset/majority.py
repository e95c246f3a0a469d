"""Majority: which letter occurs most often in a random string (no paper)."""

import dataclasses
import string
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.generated import Generated, tagged
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary


@register_dataset("majority")
@dataclasses.dataclass(kw_only=True)
class Majority(Generated):
  """`abbc` has the answer `b`, the only token that counts; ties go to the first letter.

  With `running`, the target at each letter is the most frequent one up to it. These targets
  are not next tokens, so samples of such a model differ from its data.
  """

  tasks: ClassVar[tuple[str, ...]] = ("labels",)
  added: ClassVar[tuple[str, ...]] = ("running",)

  sequence_length: int = 32  # Tokens in an example, all of them letters.
  alphabet: int = 4  # Different letters, 2 to 26.
  running: bool = False  # Every letter has a target, not only the last.

  def check(self) -> None:
    self.require("alphabet", 2 <= self.alphabet <= 26, "2 to 26 letters")
    self.require("sequence_length", self.sequence_length >= 1, "1 or more")

  @property
  def vocabulary(self) -> CharacterVocabulary:
    return CharacterVocabulary(string.ascii_lowercase[: self.alphabet])

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    letters = random.integers(self.alphabet, self.sequence_length)
    most = self._most(letters)[:, -1:]
    return np.concatenate([letters, most], axis=1), self.last(random.rows)

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    if not self.running:
      return super().examples(split, epoch, indices)
    letters = self.random(split, indices).integers(self.alphabet, self.sequence_length)
    return tagged(letters, self._most(letters))

  def _most(self, letters: np.ndarray) -> np.ndarray:
    """Return the most frequent letter up to each: [B, T] → [B, T]."""
    counts = np.cumsum(letters[:, :, None] == np.arange(self.alphabet), axis=1)
    return counts.argmax(axis=2)  # argmax returns the first of equals.
