"""Induction of n-grams: predict the token that followed the same n tokens before.

Akyürek et al., arXiv:2401.12973, whose n-gram heads generalise the induction heads of
Olsson et al., arXiv:2209.11895.
"""

import dataclasses
import string

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.generated import Generated
from attention_lab.dataset.base.reference import around, newest, repeats
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary


@register_dataset("ngram_induction")
@dataclasses.dataclass(kw_only=True)
class NgramInduction(Generated):
  """`…abc…ab` has the answer `c`: what followed the last occurrence of the final n tokens.

  The letters are random, except that the last n repeat n others at a random place; these
  occur elsewhere by chance, and so do parts of them. Only the answer counts.

  Departures:
    - The paper's strings come from random automata, and all of their tokens count; here
      the answer is determined.
  """

  sequence_length: int = 64  # Tokens in an example.
  alphabet: int = 8  # Different letters, 2 to 26.
  n: int = 2  # Tokens that have to match, at most half of sequence_length.

  def check(self) -> None:
    self.require("alphabet", 2 <= self.alphabet <= 26, "2 to 26 letters")
    half = self.sequence_length // 2
    fits = f"1 to {half}, half of sequence_length={self.sequence_length}"
    self.require("n", 1 <= self.n <= half, fits)

  @property
  def vocabulary(self) -> CharacterVocabulary:
    return CharacterVocabulary(string.ascii_lowercase[: self.alphabet])

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    length, n = self.sequence_length, self.n
    tokens = random.integers(self.alphabet, length + 1)
    copied = random.integers(length - 2 * n + 1, 1) + np.arange(n)
    final = np.take_along_axis(tokens, copied, axis=1)
    tokens[:, length - n : length] = final

    windows = np.lib.stride_tricks.sliding_window_view(
      tokens[:, : length - 1], n, axis=1
    )
    same = (windows == final[:, None]).all(axis=2)
    follows = same.shape[1] - 1 - same[:, ::-1].argmax(axis=1) + n
    tokens[:, length] = np.take_along_axis(tokens, follows[:, None], axis=1)[:, 0]
    return tokens, self.last(random.rows)

  def reference_attention(self, batch: Batch) -> np.ndarray:
    return around(newest(repeats(batch.inputs, self.n)), range(1 - self.n, 2))
