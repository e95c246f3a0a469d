"""Recall: facts in front, then queries for them at gaps that follow a power law.

Zoology (Arora et al., arXiv:2312.04927). Repeated bigrams of a text have such gaps.
"""

import dataclasses
import functools
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch
from attention_lab.dataset.base.generated import Generated
from attention_lab.dataset.base.reference import empty, newest
from attention_lab.tokenizer.base.vocabulary import WordVocabulary


@dataclasses.dataclass(kw_only=True)
class Recall(Generated):
  """Keys with their values, then each key once more, behind which its value counts.

  Token 0 is the filler. A subclass writes `generate`, by `ask`, and `check`.
  """

  key_length: ClassVar[int] = 1  # Tokens of a key (K).

  sequence_length: int = 64  # Tokens in an example.
  vocabulary_size: int = 8192  # Number of tokens in the vocabulary.
  pairs: int = 4  # Keys with a value.
  power: float = 0.01  # A query's slot g = 1, 2, … has probability ∝ g^(power - 1).
  random_filler: bool = True  # Fill up with random tokens; else with token 0.

  @property
  def facts(self) -> int:
    """Number of keys with their values in front of the queries."""
    return self.pairs

  @functools.cached_property
  def vocabulary(self) -> WordVocabulary:
    return WordVocabulary.numbers(self.vocabulary_size)

  def ask(
    self, random: CounterRandom, facts: np.ndarray, keys: np.ndarray, values: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens, and which of them count, [B, T + 1].

    Args:
      random: the random numbers of the examples.
      facts: tokens in front: [B, F].
      keys: the tokens of each key: [B, pairs, K].
      values: the token behind each: [B, pairs].
    """
    queries = np.concatenate([keys, values[:, :, None]], axis=2)
    width, start = queries.shape[2], facts.shape[1]
    slots = (self.sequence_length - start) // width
    places = start + width * self._slots(random, slots)

    tokens = np.zeros((random.rows, self.sequence_length + 1), np.int64)
    if self.random_filler:
      tokens = random.integers(self.vocabulary_size, self.sequence_length + 1)
    tokens[:, :start] = facts
    for i in range(width):
      np.put_along_axis(tokens, places + i, queries[:, :, i], axis=1)
    counts = np.zeros(tokens.shape, bool)
    np.put_along_axis(counts, places + width - 1, True, axis=1)
    return tokens, counts

  def reference_attention(self, batch: Batch) -> np.ndarray:
    length, width = self.key_length, self.key_length + 1
    facts = batch.inputs[:, : width * self.facts].reshape(-1, self.facts, width)
    queries = np.lib.stride_tricks.sliding_window_view(batch.inputs, length, axis=1)
    same = (queries[:, :, None] == facts[:, None, :, :length]).all(axis=3)
    found = empty(batch.inputs)
    found[:, length - 1 :, : width * self.facts] = np.repeat(
      newest(same), width, axis=2
    )
    return found

  def _slots(self, random: CounterRandom, slots: int) -> np.ndarray:
    """Return the slot of each query, from 0 and distinct: [B, pairs].

    They are drawn from the power law without replacement, by Gumbel top-k: the slots with
    the largest log-probability plus Gumbel noise, in descending order.
    """
    log_law = (self.power - 1) * np.log(np.arange(1, slots + 1))
    noisy = log_law - np.log(-np.log(random.uniform(slots)))
    return np.argsort(-noisy, axis=1)[:, : self.pairs]


def interleaved(*columns: np.ndarray) -> np.ndarray:
  """Return facts of several tokens one after another: columns [B, facts] → [B, F]."""
  return np.stack(columns, axis=2).reshape(len(columns[0]), -1)
