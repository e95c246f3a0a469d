"""Parity: whether the ones so far are odd in number."""

import dataclasses
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.draws import Draws
from attention_lab.dataset.base.generated import Generated
from attention_lab.dataset.base.vocabulary import CharacterVocabulary


@register_dataset("parity")
@dataclasses.dataclass(kw_only=True)
class Parity(Generated):
  """`0110=` asks for `0`, the parity of all bits, which alone counts.

  With `running`, all T inputs are bits and the target at each is the parity up to it:
  that is no next token, so samples of such a model do not look like its data.
  """

  tasks: ClassVar[tuple[str, ...]] = ("labels",)

  sequence_length: int = 32  # Tokens in an example: bits, and "=" unless running.
  running: bool = False  # Ask at every bit, not only after the last.

  def check(self) -> None:
    self.require("sequence_length", self.sequence_length >= 2, "2 or more")

  @property
  def vocabulary(self) -> CharacterVocabulary:
    return CharacterVocabulary("01=")

  def generate(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    bits = draws.integers(2, self.sequence_length - 1)
    equals = np.full((draws.rows, 1), 2)
    answer = bits.sum(axis=1, keepdims=True) % 2
    tokens = np.concatenate([bits, equals, answer], axis=1)
    return tokens, self.last(draws.rows)

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    if not self.running:
      return super().examples(split, epoch, indices)
    bits = self.draws(split, indices).integers(2, self.sequence_length)
    odd = np.cumsum(bits, axis=1) % 2
    weights = np.ones(bits.shape, np.float32)
    return Batch(bits.astype(np.int32), odd.astype(np.int32), weights)
