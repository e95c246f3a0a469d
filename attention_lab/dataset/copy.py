"""Copying: a random string, a bar, and the same string again to be predicted."""

import dataclasses

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.strings import Strings


@register_dataset("copy")
@dataclasses.dataclass(kw_only=True)
class Copy(Strings):
  """`abc|abc`: only the second half counts."""

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    letters = self.letters(random)
    return self.join(letters, letters)

  def places(self) -> np.ndarray:
    return np.arange(self.answer_length)
