"""Compression of MAD: a random sequence, to be rebuilt from the vector of its last token.

Poli et al., arXiv:2403.17844.
"""

import dataclasses
from typing import ClassVar

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.generated import Tagged, tagged
from attention_lab.tokenizer.base.vocabulary import WordVocabulary


@register_dataset("compression")
@dataclasses.dataclass(kw_only=True)
class Compression(Tagged):
  """`5 0 12 … #`: the target of each number is itself; `#` does not count.

  --architecture=autoencoder learns it: its layers read the sequence, and only the vector of
  `#` reaches what predicts the numbers. The paper varies sequence_length from 32 to 256 and
  the vocabulary from 16 to 128 tokens.

  Departures:
    - `#` is no target, since it is always the same.
  """

  tasks: ClassVar[tuple[str, ...]] = ("reconstruction",)

  sequence_length: int = 32  # Tokens in an example, "#" included.
  alphabet: int = 15  # Different numbers.

  def check(self) -> None:
    self.require("sequence_length", self.sequence_length >= 2, "2 or more")
    self.require("alphabet", 2 <= self.alphabet <= 100_000, "2 to 100,000")

  @property
  def vocabulary(self) -> WordVocabulary:
    return WordVocabulary((*map(str, range(self.alphabet)), "#"))

  def tag(self, random: CounterRandom) -> Batch:
    tokens = random.integers(self.alphabet, self.sequence_length)
    tokens[:, -1] = self.alphabet
    return tagged(tokens, tokens, tokens < self.alphabet)
