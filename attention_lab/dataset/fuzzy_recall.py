"""Fuzzy in-context recall of MAD: keys and values of several tokens.

Poli et al., arXiv:2403.17844.
"""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.generated import Generated
from attention_lab.tokenizer.base.vocabulary import WordVocabulary


class Pairs(NamedTuple):
  """Keys and values of examples, of which the first tokens are used."""

  tokens: np.ndarray  # [B, pairs, key_length + value_length]
  used: np.ndarray  # bool, same shape.


@register_dataset("fuzzy_recall")
@dataclasses.dataclass(kw_only=True)
class FuzzyRecall(Generated):
  """`_ k1 k4 v2 k3 v0 v5 k1 k4 v2 …`: a value counts where its key occurred before.

  A key is 1 to `key_length` random tokens, a value 1 to `value_length` others, so where the
  kind of token changes, a pair or its value begins. A key has one value in an example. The
  last key has occurred before; padding in front fills the example. Which token of a value
  follows is determined, not whether one does, and only tokens of values count, so the
  lowest possible loss is 0. The paper varies sequence_length from 128 to 1,024, and the
  tokens of keys and values from 16 to 128.

  Departures:
    - Training counts the same tokens as validation; the paper trains on all tokens.
    - Keys have all lengths in validation too, not only the largest.
    - A token may occur twice in a key or value.
  """

  sequence_length: int = 128  # Tokens in an example, padding included.
  keys: int = 7  # Different tokens of keys.
  values: int = 7  # Different tokens of values.
  key_length: int = 3  # Most tokens of a key, 1 to 4.
  value_length: int = 3  # Most tokens of a value, 1 to 4.

  def check(self) -> None:
    for option in ("keys", "values"):
      self.require(option, 1 <= getattr(self, option) <= 10_000, "1 to 10,000")
    for option in ("key_length", "value_length"):
      self.require(option, 1 <= getattr(self, option) <= 4, "1 to 4")
    least = 2 * (self.key_length + self.value_length) - 1
    self.require("sequence_length", self.sequence_length >= least, f"{least} or more")

  @functools.cached_property
  def vocabulary(self) -> WordVocabulary:
    return WordVocabulary.of_kinds("_", k=self.keys, v=self.values)

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    pairs, counts = self._sequence(random)
    used = pairs.used.reshape(random.rows, -1)
    # The tokens that are used stand at the end; the others go behind it, and are cut off.
    end = self.sequence_length + 1
    places = np.cumsum(used, axis=1) - 1 + end - used.sum(axis=1, keepdims=True)
    places = np.where(used, places, end)
    tokens = np.full((random.rows, end + 1), self.keys + self.values)
    np.put_along_axis(tokens, places, pairs.tokens.reshape(used.shape), axis=1)
    counted = np.zeros(tokens.shape, bool)
    np.put_along_axis(counted, places, counts.reshape(used.shape), axis=1)
    return tokens[:, :end], counted[:, :end]

  def reference_attention(self, batch: Batch) -> np.ndarray:
    """Return all earlier pairs with the key at t, whole."""
    inputs = batch.inputs
    in_key = inputs < self.keys
    starts = in_key & ~np.pad(in_key, ((0, 0), (1, 0)))[:, :-1]
    numbers = np.zeros(inputs.shape, np.int64)  # Of the key up to each token.
    for t, token in enumerate(inputs.T):
      before = np.where(starts[:, t], 0, numbers[:, t - 1])
      numbers[:, t] = np.where(
        in_key[:, t], before * (self.keys + 1) + token + 1, before
      )
    whole = numbers.copy()  # Of the key of each token's pair.
    for s in range(inputs.shape[1] - 2, -1, -1):
      whole[:, s] = np.where(starts[:, s + 1], numbers[:, s], whole[:, s + 1])
    pairs = np.cumsum(starts, axis=1)
    earlier = pairs[:, :, None] > pairs[:, None, :]
    return (
      earlier & (numbers[:, :, None] == whole[:, None, :]) & (pairs > 0)[:, None, :]
    )

  def _sequence(self, random: CounterRandom) -> tuple[Pairs, np.ndarray]:
    """Return the pairs of examples, and which of their tokens count."""
    widest = self.key_length + self.value_length
    room = self.sequence_length + 1 - widest  # The last pair repeats one of the others.
    most = room // 2 + 1  # Pairs have two tokens at least.
    keys = _random_words(random, self.keys, self.key_length, most)
    values = _random_words(random, self.values, self.value_length, most)

    numbers = np.where(keys.used, keys.tokens + 1, 0) @ (
      (self.keys + 1) ** np.arange(self.key_length)
    )
    first = (numbers[:, :, None] == numbers[:, None, :]).argmax(axis=2)
    tokens = np.concatenate([keys.tokens, self.keys + values.tokens], axis=2)
    used = np.concatenate([keys.used, values.used], axis=2)
    for array in (tokens, used):  # A key has the value of its first occurrence.
      array[:, :, self.key_length :] = np.take_along_axis(
        array[:, :, self.key_length :], first[:, :, None], axis=1
      )
    fit = np.cumsum(used.sum(axis=2), axis=1) <= room
    last = fit.sum(axis=1, keepdims=True)
    copied = (random.uniform(1) * last).astype(np.int64)
    for array in (tokens, used):
      repeated = np.take_along_axis(array, copied[:, :, None], axis=1)
      np.put_along_axis(array, last[:, :, None], repeated, axis=1)

    order = np.arange(most)
    used &= (order <= last)[:, :, None]
    known = (first < order) | (order == last)
    counts = used & known[:, :, None] & (np.arange(widest) >= self.key_length)
    return Pairs(tokens, used), counts


def _random_words(random: CounterRandom, kinds: int, longest: int, count: int) -> Pairs:
  """Return words of 1 to `longest` tokens, all lengths being equally probable."""
  shape = (random.rows, count, longest)
  tokens = random.integers(kinds, count * longest).reshape(shape)
  lengths = 1 + random.integers(longest, count)
  return Pairs(tokens, np.arange(longest) < lengths[:, :, None])
