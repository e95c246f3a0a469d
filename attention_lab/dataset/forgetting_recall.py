"""Recall with forgetting: some keys get a new value, which replaces the former one.

Forgetting MQAR of Zoology (Arora et al., arXiv:2312.04927, whose code has this variant).
"""

import dataclasses

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.recall import Recall, interleaved


@register_dataset("forgetting_recall")
@dataclasses.dataclass(kw_only=True)
class ForgettingRecall(Recall):
  """`k1 v1 k2 v2 k1 v3 … k2 v2 … k1 v3`: the newest value of each key counts.

  All keys have a value first; then `updates` of them get another. Token 0 is the filler,
  keys are the rest of the vocabulary's first half and values its second.

  Departures:
    - The value follows its query as the next token; the published generator omits it
      from the inputs.
    - All values of an example are distinct, not only those of a key.
  """

  pairs: int = 8  # Different keys.
  updates: int = 4  # Keys whose value is replaced, at most all.

  def check(self) -> None:
    self.require("pairs", self.pairs >= 1, "1 or more")
    self.require("updates", 0 <= self.updates <= self.pairs, f"0 to pairs={self.pairs}")
    least = 4 * self.pairs + 2 * self.updates
    self.require("sequence_length", self.sequence_length >= least, f"{least} or more")
    tokens = 2 * (self.pairs + max(1, self.updates))
    enough = tokens <= self.vocabulary_size
    self.require("vocabulary_size", enough, f"{tokens} or more")

  @property
  def facts(self) -> int:
    return self.pairs + self.updates

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    half, pairs = self.vocabulary_size // 2, self.pairs
    keys = 1 + random.distinct(half - 1, pairs)
    values = half + random.distinct(self.vocabulary_size - half, pairs + self.updates)
    former, new = values[:, :pairs], values[:, pairs:]
    updated = random.order(pairs)[:, : self.updates]

    again = np.take_along_axis(keys, updated, axis=1)
    facts = [interleaved(keys, former), interleaved(again, new)]
    newest = former.copy()
    np.put_along_axis(newest, updated, new, axis=1)
    return self.ask(random, np.concatenate(facts, axis=1), keys[:, :, None], newest)
