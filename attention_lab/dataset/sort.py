"""Sorting: a random string, a bar, and its letters in order to be predicted."""

import dataclasses

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.strings import Strings


@register_dataset("sort")
@dataclasses.dataclass(kw_only=True)
class Sort(Strings):
  """`cab|abc`: only the second half counts."""

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    letters = self.letters(random)
    return self.join(letters, np.sort(letters, axis=1))
