"""Memorisation of MAD: keys whose values are fixed, and never in the inputs.

Poli et al., arXiv:2403.17844.
"""

import dataclasses
import functools

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.generated import Tagged, tagged
from attention_lab.tokenizer.base.vocabulary import WordVocabulary


@register_dataset("memorisation")
@dataclasses.dataclass(kw_only=True)
class Memorisation(Tagged):
  """`k7 ? k2 ? …` has the targets `v3 v9 …` at the question marks, which count alone.

  Each key has one value in all examples of both splits, drawn by `seed`, and no two keys
  have the same. So a model has to store the table in its parameters. The paper has a
  vocabulary of 256 to 8,192 tokens.
  """

  sequence_length: int = 32  # Tokens in an example: keys, each with a "?" behind it.
  keys: int = 127  # Different keys, and as many values.

  def check(self) -> None:
    self.require("keys", 1 <= self.keys <= 100_000, "1 to 100,000")
    self.require("sequence_length", self.sequence_length >= 2, "2 or more")

  @functools.cached_property
  def vocabulary(self) -> WordVocabulary:
    return WordVocabulary.of_kinds("?", k=self.keys, v=self.keys)

  @functools.cached_property
  def _values(self) -> np.ndarray:
    """The value of each key: [keys]."""
    return np.random.default_rng((self.seed, 4)).permutation(self.keys)

  def tag(self, random: CounterRandom) -> Batch:
    length = self.sequence_length
    keys = np.repeat(random.integers(self.keys, -(-length // 2)), 2, axis=1)[:, :length]
    asks = np.arange(length) % 2 == 1
    inputs = np.where(asks, 2 * self.keys, keys)
    targets = self.keys + self._values[keys]
    return tagged(inputs, targets, np.broadcast_to(asks, keys.shape))
