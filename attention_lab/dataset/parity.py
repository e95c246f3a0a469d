"""Parity: whether the number of ones is odd."""

import dataclasses
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.generated import Generated, tagged
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary


@register_dataset("parity")
@dataclasses.dataclass(kw_only=True)
class Parity(Generated):
  """`0110=` has the answer `0`, the parity of all bits, the only token that counts.

  With `running`, all T inputs are bits, and the target at each is the parity up to it.
  These targets are not next tokens, so samples of such a model differ from its data.
  """

  tasks: ClassVar[tuple[str, ...]] = ("labels",)

  sequence_length: int = 32  # Tokens in an example: bits, and "=" unless running.
  running: bool = False  # Every bit has a target, not only the last token.

  def check(self) -> None:
    self.require("sequence_length", self.sequence_length >= 2, "2 or more")

  @property
  def vocabulary(self) -> CharacterVocabulary:
    return CharacterVocabulary("01=")

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    bits = random.integers(2, self.sequence_length - 1)
    equals = np.full((random.rows, 1), 2)
    answer = bits.sum(axis=1, keepdims=True) % 2
    tokens = np.concatenate([bits, equals, answer], axis=1)
    return tokens, self.last(random.rows)

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    if not self.running:
      return super().examples(split, epoch, indices)
    bits = self.random(split, indices).integers(2, self.sequence_length)
    return tagged(bits, np.cumsum(bits, axis=1) % 2)
