"""Recall by keys of two tokens, neither of which determines the value.

Compositional MQAR of Zoology (Arora et al., arXiv:2312.04927, whose code has this variant).
"""

import dataclasses
import math
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.recall import Recall, interleaved


@register_dataset("compositional_recall")
@dataclasses.dataclass(kw_only=True)
class CompositionalRecall(Recall):
  """`a x v1 a y v2 b x v3 b y v4 … a y v2 … b x v3`: each key of two tokens has a value.

  The keys are all pairs of √pairs first tokens and √pairs second ones, in random order.
  Token 0 is the filler; first tokens, second tokens and values have a third of the
  vocabulary each.

  Departures:
    - The value follows its query as the next token; the published generator omits it
      from the inputs.
  """

  key_length: ClassVar[int] = 2

  pairs: int = 4  # Keys with a value: 1, 4, 9, 16, …

  def check(self) -> None:
    side = math.isqrt(max(0, self.pairs))
    square = side >= 1 and side**2 == self.pairs
    self.require("pairs", square, "1, 4, 9, 16 or another square")
    least = 6 * self.pairs
    self.require("sequence_length", self.sequence_length >= least, f"{least} or more")
    tokens = max(3 * (side + 1), 3 * self.pairs)
    enough = tokens <= self.vocabulary_size
    self.require("vocabulary_size", enough, f"{tokens} or more")

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    side, third = math.isqrt(self.pairs), self.vocabulary_size // 3
    first = 1 + random.distinct(third - 1, side)
    second = third + random.distinct(third, side)
    values = 2 * third + random.distinct(self.vocabulary_size - 2 * third, self.pairs)
    rows, columns = np.divmod(random.order(self.pairs), side)

    first = np.take_along_axis(first, rows, axis=1)
    second = np.take_along_axis(second, columns, axis=1)
    facts = interleaved(first, second, values)
    return self.ask(random, facts, np.stack([first, second], axis=2), values)
