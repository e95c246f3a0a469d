"""Memorisation: a fixed table of random strings, each with a random string to answer it."""

import dataclasses
import functools

import numpy as np

from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.draws import Draws
from attention_lab.dataset.base.strings import Strings


@register_dataset("random_pairs")
@dataclasses.dataclass(kw_only=True)
class RandomPairs(Strings):
  """`abc|bca`: the second half counts, and nothing but having seen the pair tells it.

  Validation asks for pairs that were trained on, for memorisation is what is measured.
  The sources are distinct, so a perfect memory's loss is 0.
  """

  train_examples: int = 512  # Pairs in the table.
  validation_examples: int = (
    512  # How many of these pairs, from the first on, are asked.
  )

  def check(self) -> None:
    super().check()
    # Beyond 32 bits nothing is asked for that a message would have to spell out.
    room = min(self.alphabet ** (self.sequence_length // 2) // 2, 2**32)
    self.require(
      "train_examples",
      self.train_examples <= room,
      f"at most {room}, half of the strings that there are",
    )
    self.require(
      "validation_examples",
      self.validation_examples <= self.train_examples,
      f"at most train_examples={self.train_examples}: the same pairs are asked for",
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

  def generate(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    return self.join(*self._table[draws.numbers].swapaxes(0, 1))
