"""Noisy in-context recall of MAD: keys and their values among tokens of noise.

Poli et al., arXiv:2403.17844.
"""

import dataclasses
import functools

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.generated import Generated
from attention_lab.dataset.base.recall import interleaved
from attention_lab.dataset.base.reference import around, repeats
from attention_lab.tokenizer.base.vocabulary import WordVocabulary


@register_dataset("noisy_recall")
@dataclasses.dataclass(kw_only=True)
class NoisyRecall(Generated):
  """`k1 v4 n3 n0 k2 v2 k1 v4 …`: the value of a key counts where the key occurred before.

  Two tokens are noise with probability `noise`, else a random key and its value, which is
  drawn anew for each example. The last key has occurred before. With noise=0 it is MAD's
  in-context recall. The paper varies sequence_length from 128 to 1,024, noise from 0.2 to
  0.8, and keys and values together from 16 to 128.

  Departures:
    - Training counts the same tokens as validation; the paper trains on all tokens.
  """

  sequence_length: int = 128  # Tokens in an example, even.
  keys: int = 8  # Different keys.
  values: int = 8  # Different values.
  noise_tokens: int = 16  # Different tokens of noise.
  noise: float = 0.2  # Share of noise, below 1.

  def check(self) -> None:
    even = self.sequence_length >= 4 and self.sequence_length % 2 == 0
    self.require("sequence_length", even, "an even number, 4 or more")
    for option in ("keys", "values", "noise_tokens"):
      self.require(option, 1 <= getattr(self, option) <= 10_000, "1 to 10,000")
    self.require("noise", 0 <= self.noise < 1, "a share of at least 0, below 1")

  @functools.cached_property
  def vocabulary(self) -> WordVocabulary:
    return WordVocabulary.of_kinds(k=self.keys, v=self.values, n=self.noise_tokens)

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    count = self.sequence_length // 2
    keys = random.integers(self.keys, count)
    values = random.integers(self.values, self.keys)
    noise = random.integers(self.noise_tokens, self.sequence_length + 1)
    noisy = random.uniform(count) < self.noise
    # One pair at a random place is never noise, and the last key is that of such a pair.
    chosen = random.integers(count - 1, 1)
    np.put_along_axis(noisy, chosen, False, axis=1)
    noisy[:, -1] = False
    keys[:, -1:] = np.take_along_axis(keys, chosen, axis=1)

    tokens = self.keys + self.values + noise
    counts = np.zeros(tokens.shape, bool)
    values = self.keys + np.take_along_axis(values, keys, axis=1)
    pairs = interleaved(keys, values)
    tokens[:, :-1] = np.where(np.repeat(noisy, 2, axis=1), tokens[:, :-1], pairs)
    counts[:, 1::2] = ~noisy & _known(keys, noisy)
    return tokens, counts

  def reference_attention(self, batch: Batch) -> np.ndarray:
    return around(repeats(batch.inputs), (0, 1))


def _known(keys: np.ndarray, noisy: np.ndarray) -> np.ndarray:
  """Return which keys [B, pairs] occur before in a pair that is not noise."""
  same = (keys[:, :, None] == keys[:, None, :]) & ~noisy[:, None, :]
  return np.tril(same, -1).any(axis=2)
