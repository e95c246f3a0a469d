"""ListOps: nested minima, maxima, medians and sums of digits, as in Long Range Arena.

Nangia & Bowman, arXiv:1804.06028; lengths and depths of Tay et al., arXiv:2011.04006.
"""

import dataclasses
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base import expressions
from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.generated import Generated
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.vocabulary import WordVocabulary

WORDS = (*map(str, range(10)), "[MIN", "[MAX", "[MED", "[SM", "]", "=", "_")
CLOSE, EQUALS, BLANK = 14, 15, 16
AT_ONCE = 16  # Expressions tried at once for an example.
PATIENCE = 100_000  # Largest number of expressions tried for an example.


@register_dataset("listops")
@dataclasses.dataclass(kw_only=True)
class ListOps(Generated):
  """`_ _ [MAX 2 9 [MIN 4 7 ] 0 ] =` has the answer `9`, the only token that counts.

  SM is the sum modulo 10, and the median of an even number of digits is rounded down.
  Expressions are random trees that fit. The paper has a sequence_length of 2,000.

  Departures:
    - Blanks before the expression fill the example, which ends in "=", so that the
      answer is always last. Examples carry no positions, so the blanks are tokens that
      the model has to learn to ignore.
  """

  tasks: ClassVar[tuple[str, ...]] = ("labels",)

  sequence_length: int = 256  # Tokens in an example, "=" and blanks included.
  max_depth: int = 10  # Levels of an expression; the last holds only digits.
  max_args: int = 10  # Largest number of arguments of an operator, 2 or more.
  shortest: float = 0.25  # Least length, as a share of the longest that fits.

  def check(self) -> None:
    self.require("max_depth", self.max_depth >= 2, "2 or more")
    self.require("max_args", self.max_args >= 2, "2 or more")
    self.require("sequence_length", self.sequence_length >= 5, "5 or more")
    self.require("shortest", 0 <= self.shortest <= 1, "a share between 0 and 1")

  @property
  def vocabulary(self) -> WordVocabulary:
    return WordVocabulary(WORDS)

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    tree = expressions.grow(self._seeds(random), self.max_depth, self.max_args)
    tokens = np.full((random.rows, self.sequence_length + 1), BLANK)
    tokens[:, -2] = EQUALS
    tokens[:, -1] = tree.values()
    # An expression ends before "=".
    tree.write(tokens, self.sequence_length - 1 - tree.lengths(), CLOSE)
    return tokens, self.last(random.rows)

  def _seeds(self, random: CounterRandom) -> np.ndarray:
    """Return the seed of each example's first tried expression that fits: uint64 [B]."""
    longest = self.sequence_length - 1
    fewest = max(4, self.shortest * longest)
    seeds = np.zeros(random.rows, np.uint64)
    missing = np.arange(random.rows)
    for _ in range(0, PATIENCE, AT_ONCE):
      tried = random.bits(AT_ONCE)[missing]
      lengths = expressions.lengths(
        tried.ravel(), self.max_depth, self.max_args, longest
      ).reshape(tried.shape)
      fits = (lengths >= fewest) & (lengths <= longest)
      found = fits.any(axis=1)
      seeds[missing[found]] = tried[found, np.argmax(fits[found], axis=1)]
      missing = missing[~found]
      if not len(missing):
        return seeds
    raise UserError(
      f"listops: expressions of {fewest:.0f} to {longest} tokens are too rare with "
      f"max_depth={self.max_depth} and max_args={self.max_args}. Lower shortest or "
      f"sequence_length."
    )
