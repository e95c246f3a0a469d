"""Multi-query associative recall: key-value pairs, then queries for the values.

Zoology (Arora et al., arXiv:2312.04927). The gaps between a pair and its query follow a
power law, as those between repeated bigrams of a text do.
"""

import dataclasses
import functools

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.generated import Generated
from attention_lab.tokenizer.base.vocabulary import WordVocabulary


@register_dataset("associative_recall")
@dataclasses.dataclass(kw_only=True)
class AssociativeRecall(Generated):
  """`k1 v1 k2 v2 … k2 v2 … k1 v1`: each key is queried once, and its value counts.

  Token 0 is the filler, keys are the rest of the vocabulary's first half and values its
  second. The paper varies sequence_length from 64 to 512 and pairs from 4 to 64.

  Departures:
    - The value follows its query as the next token; the published generator omits it
      from the inputs.
    - No key is queried twice.
  """

  sequence_length: int = 64  # Tokens in an example, even.
  vocabulary_size: int = 8192  # Number of tokens in the vocabulary.
  pairs: int = 4  # Keys with a value, at most a quarter of sequence_length.
  power: float = 0.01  # A query's slot g = 1, 2, … has probability ∝ g^(power - 1).
  random_filler: bool = True  # Fill up with random tokens; else with token 0.

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

  @functools.cached_property
  def vocabulary(self) -> WordVocabulary:
    return WordVocabulary.numbers(self.vocabulary_size)

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    half, pairs, length = self.vocabulary_size // 2, self.pairs, self.sequence_length
    keys = 1 + random.distinct(half - 1, pairs)
    values = half + random.distinct(self.vocabulary_size - half, pairs)
    queries = 2 * (pairs + self._slots(random))  # Positions of the queries.

    tokens = np.zeros((random.rows, length + 1), np.int64)
    if self.random_filler:
      tokens = random.integers(self.vocabulary_size, length + 1)
    tokens[:, 0 : 2 * pairs : 2] = keys
    tokens[:, 1 : 2 * pairs : 2] = values
    np.put_along_axis(tokens, queries, keys, axis=1)
    np.put_along_axis(tokens, queries + 1, values, axis=1)
    counts = np.zeros(tokens.shape, bool)
    np.put_along_axis(counts, queries + 1, True, axis=1)
    return tokens, counts

  def _slots(self, random: CounterRandom) -> np.ndarray:
    """Return distinct slots [B, pairs] of two tokens each, from 0 after the pairs.

    They are drawn from the power law without replacement, by Gumbel top-k: the slots with
    the largest log-probability plus Gumbel noise, in descending order.
    """
    slots = self.sequence_length // 2 - self.pairs
    log_law = (self.power - 1) * np.log(np.arange(1, slots + 1))
    noisy = log_law - np.log(-np.log(random.uniform(slots)))
    return np.argsort(-noisy, axis=1)[:, : self.pairs]
