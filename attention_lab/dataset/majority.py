"""Majority: which letter occurs most often in a random string (no paper)."""

import dataclasses
import string
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.generated import Generated
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary


@register_dataset("majority")
@dataclasses.dataclass(kw_only=True)
class Majority(Generated):
  """`abbc` has the answer `b`, the only token that counts; ties go to the first letter."""

  tasks: ClassVar[tuple[str, ...]] = ("labels",)

  sequence_length: int = 32  # Tokens in an example, all of them letters.
  alphabet: int = 4  # Different letters, 2 to 26.

  def check(self) -> None:
    self.require("alphabet", 2 <= self.alphabet <= 26, "2 to 26 letters")
    self.require("sequence_length", self.sequence_length >= 1, "1 or more")

  @property
  def vocabulary(self) -> CharacterVocabulary:
    return CharacterVocabulary(string.ascii_lowercase[: self.alphabet])

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    letters = random.integers(self.alphabet, self.sequence_length)
    counts = (letters[:, :, None] == np.arange(self.alphabet)).sum(axis=1)
    most = counts.argmax(axis=1)[:, None]  # argmax returns the first of equals.
    return np.concatenate([letters, most], axis=1), self.last(random.rows)
