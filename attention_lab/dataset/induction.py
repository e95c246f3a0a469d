"""Induction: the last token occurred once before; predict the token that followed it.

Olsson et al., arXiv:2209.11895.
"""

import dataclasses
import string

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.generated import Generated
from attention_lab.dataset.base.reference import around, repeats
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary


@register_dataset("induction")
@dataclasses.dataclass(kw_only=True)
class Induction(Generated):
  """`…ab…a` has the answer `b`: random letters, the last of which occurred once before.

  The letter, and the place of its first occurrence, are random. Only the answer counts.
  """

  sequence_length: int = 64  # Tokens in an example.
  alphabet: int = 16  # Different letters, 3 to 26.

  def check(self) -> None:
    self.require("alphabet", 3 <= self.alphabet <= 26, "3 to 26 letters")
    self.require("sequence_length", self.sequence_length >= 3, "3 or more")

  @property
  def vocabulary(self) -> CharacterVocabulary:
    return CharacterVocabulary(string.ascii_lowercase[: self.alphabet])

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    length = self.sequence_length
    query = random.integers(self.alphabet, 1)
    where = random.integers(length - 2, 1)
    tokens = random.integers(self.alphabet - 1, length + 1)
    tokens += tokens >= query  # All other letters.
    np.put_along_axis(tokens, where, query, axis=1)
    tokens[:, length - 1 : length] = query
    tokens[:, length:] = np.take_along_axis(tokens, where + 1, axis=1)
    return tokens, self.last(random.rows)

  def reference_attention(self, batch: Batch) -> np.ndarray:
    return around(repeats(batch.inputs), (0, 1))
