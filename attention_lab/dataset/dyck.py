"""Dyck-(k, m): brackets of k kinds, nested at most m deep.

Hewitt et al., arXiv:2010.07515.
"""

import dataclasses
import string

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.generated import Generated
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary

OPENING = "([{<" + string.ascii_lowercase
CLOSING = ")]}>" + string.ascii_uppercase


@register_dataset("dyck")
@dataclasses.dataclass(kw_only=True)
class Dyck(Generated):
  """`([]{` …: the closing brackets count, whose kind is determined.

  Where both are allowed, a bracket opens or closes with probability 1/2. Words follow each
  other until the example is full. Only the kind of a closing bracket is predicted, not
  whether one closes, so the lowest possible loss is 0.
  """

  sequence_length: int = 128  # Tokens in an example.
  kinds: int = 4  # Kinds of brackets (k), at most 30.
  max_depth: int = 4  # Brackets that may be open at once (m).

  def check(self) -> None:
    self.require("kinds", 1 <= self.kinds <= len(OPENING), f"1 to {len(OPENING)}")
    self.require("max_depth", self.max_depth >= 1, "1 or more")
    self.require(
      "sequence_length",
      self.sequence_length >= self.max_depth,
      f"{self.max_depth} or more, the depth at which brackets have to close",
    )

  @property
  def vocabulary(self) -> CharacterVocabulary:
    return CharacterVocabulary(OPENING[: self.kinds] + CLOSING[: self.kinds])

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    count = self.sequence_length + 1
    # An unbounded walk folded to 0 … m turns back at 0 and at m.
    walk = np.cumsum(2 * random.integers(2, count) - 1, axis=1)
    after = np.abs((walk + self.max_depth) % (2 * self.max_depth) - self.max_depth)
    before = np.pad(after[:, :-1], ((0, 0), (1, 0)))
    closes = after < before
    # A closing bracket has the level of the bracket that it closes.
    level = np.maximum(before, after)

    kinds = random.integers(self.kinds, count)
    places = np.arange(count)
    for depth in range(1, min(self.max_depth, count) + 1):
      at_depth = level == depth
      opened = np.maximum.accumulate(np.where(at_depth & ~closes, places, 0), axis=1)
      kinds = np.where(
        at_depth & closes, np.take_along_axis(kinds, opened, axis=1), kinds
      )
    return kinds + self.kinds * closes, closes
