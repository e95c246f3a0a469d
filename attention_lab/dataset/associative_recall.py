"""Multi-query associative recall: key-value pairs, then queries for the values.

Zoology (Arora et al., arXiv:2312.04927). The gaps between a pair and its query follow a
power law, as those between repeated bigrams of a text do.
"""

import dataclasses

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.recall import Recall, interleaved


@register_dataset("associative_recall")
@dataclasses.dataclass(kw_only=True)
class AssociativeRecall(Recall):
  """`k1 v1 k2 v2 … k2 v2 … k1 v1`: each key is queried once, and its value counts.

  Token 0 is the filler, keys are the rest of the vocabulary's first half and values its
  second. The paper varies sequence_length from 64 to 512 and pairs from 4 to 64.

  Departures:
    - The value follows its query as the next token; the published generator omits it
      from the inputs.
    - No key is queried twice.
  """

  def check(self) -> None:
    quarter, keys = self.sequence_length // 4, self.vocabulary_size // 2 - 1
    self.require("sequence_length", self.sequence_length % 2 == 0, "an even number")
    self.require(
      "pairs",
      1 <= self.pairs <= quarter,
      f"1 to {quarter}, a quarter of sequence_length={self.sequence_length}",
    )
    self.require(
      "vocabulary_size",
      self.pairs <= keys and self.vocabulary_size < 2**31,
      f"{2 * self.pairs + 2} or more for {self.pairs} pairs",
    )

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    half = self.vocabulary_size // 2
    keys = 1 + random.distinct(half - 1, self.pairs)
    values = half + random.distinct(self.vocabulary_size - half, self.pairs)
    return self.ask(random, interleaved(keys, values), keys[:, :, None], values)
