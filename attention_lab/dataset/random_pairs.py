"""Memorisation: a fixed table of random strings, each with a random answer."""

import dataclasses
import functools

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.strings import Strings


@register_dataset("random_pairs")
@dataclasses.dataclass(kw_only=True)
class RandomPairs(Strings):
  """`abc|bca`: the second half counts, and is predictable only from training on the pair.

  Validation uses pairs of the training split, since memorisation is measured. The sources
  are distinct, so the lowest possible loss is 0.
  """

  train_examples: int = 512  # Pairs in the table.
  validation_examples: int = 512  # Pairs in validation: the first of the table.

  def check(self) -> None:
    super().check()
    # Limited to 32 bits, so that the message stays short.
    room = min(self.alphabet ** (self.sequence_length // 2) // 2, 2**32)
    self.require(
      "train_examples",
      self.train_examples <= room,
      f"at most {room}, half of the possible strings",
    )
    self.require(
      "validation_examples",
      self.validation_examples <= self.train_examples,
      f"at most train_examples={self.train_examples}: validation uses the same pairs",
    )

  @functools.cached_property
  def _table(self) -> np.ndarray:
    """Sources and their answers: [pairs, 2, T / 2]."""
    random = np.random.default_rng((self.seed, 4))
    shape = (self.train_examples, 2, self.sequence_length // 2)
    table = random.integers(self.alphabet, size=shape)
    while True:
      _, first = np.unique(table[:, 0], axis=0, return_index=True)
      again = np.setdiff1d(np.arange(len(table)), first)
      if not len(again):
        return table
      table[again] = random.integers(self.alphabet, size=(len(again), *shape[1:]))

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    return self.join(*self._table[random.numbers].swapaxes(0, 1))
