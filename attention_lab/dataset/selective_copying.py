"""Selective copying: letters scattered among blanks, to be reproduced in their order.

Mamba (Gu & Dao, arXiv:2312.00752).
"""

import dataclasses
import string

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.generated import Generated
from attention_lab.dataset.base.reference import empty
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary


@register_dataset("selective_copying")
@dataclasses.dataclass(kw_only=True)
class SelectiveCopying(Generated):
  """`a..b.c.|abc`: random letters at random places; the letters after the bar count.

  The paper has 16 letters to copy and a sequence_length of 4,096.
  """

  sequence_length: int = 256  # Tokens in an example, the bar and the copies included.
  alphabet: int = 16  # Different letters, at most 26.
  letters: int = 16  # Letters to copy.

  def check(self) -> None:
    self.require("alphabet", 1 <= self.alphabet <= 26, "1 to 26 letters")
    half = self.sequence_length // 2
    self.require(
      "letters",
      1 <= self.letters <= half,
      f"1 to {half}, half of sequence_length={self.sequence_length}",
    )

  @property
  def vocabulary(self) -> CharacterVocabulary:
    return CharacterVocabulary(string.ascii_lowercase[: self.alphabet] + ".|")

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    blank, bar = self.alphabet, self.alphabet + 1
    room = self.sequence_length - self.letters  # Before the bar.
    letters = random.integers(self.alphabet, self.letters)
    places = np.sort(random.order(room)[:, : self.letters], axis=1)
    tokens = np.full((random.rows, self.sequence_length + 1), blank)
    np.put_along_axis(tokens, places, letters, axis=1)
    tokens[:, room] = bar
    tokens[:, room + 1 :] = letters
    counts = np.tile(np.arange(self.sequence_length + 1) > room, (random.rows, 1))
    return tokens, counts

  def reference_attention(self, batch: Batch) -> np.ndarray:
    room = self.sequence_length - self.letters
    blanks = batch.inputs[:, :room] == self.alphabet
    places = np.argsort(blanks, axis=1, kind="stable")[:, : self.letters]
    found = empty(batch.inputs)
    found[:, room:] = places[:, :, None] == np.arange(self.sequence_length)
    return found
