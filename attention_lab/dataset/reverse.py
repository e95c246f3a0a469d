"""Reversal: a random string, a bar, and the string from its end to be predicted."""

import dataclasses

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.strings import Strings


@register_dataset("reverse")
@dataclasses.dataclass(kw_only=True)
class Reverse(Strings):
  """`abc|cba`: only the second half counts."""

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    letters = self.letters(random)
    return self.join(letters, letters[:, ::-1])

  def places(self) -> np.ndarray:
    return np.arange(self.answer_length)[::-1]
