"""Induction heads' task: the last token stood there before; predict what followed it.

Olsson et al., arXiv:2209.11895.
"""

import dataclasses
import string

import numpy as np

from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.draws import Draws
from attention_lab.dataset.base.generated import Generated
from attention_lab.dataset.base.vocabulary import CharacterVocabulary


@register_dataset("induction")
@dataclasses.dataclass(kw_only=True)
class Induction(Generated):
  """`…ab…a` asks for `b`: random letters, of which the last stood once before.

  Which letter is asked for, and where it stood, is random. Only the answer counts.
  """

  sequence_length: int = 64  # Tokens in an example.
  alphabet: int = 16  # Different letters, 3 to 26.

  def check(self) -> None:
    self.require("alphabet", 3 <= self.alphabet <= 26, "3 to 26 letters")
    self.require("sequence_length", self.sequence_length >= 3, "3 or more")

  @property
  def vocabulary(self) -> CharacterVocabulary:
    return CharacterVocabulary(string.ascii_lowercase[: self.alphabet])

  def generate(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    length = self.sequence_length
    asked = draws.integers(self.alphabet, 1)
    where = draws.integers(length - 2, 1)
    tokens = draws.integers(self.alphabet - 1, length + 1)
    tokens += tokens >= asked  # Of the other letters.
    np.put_along_axis(tokens, where, asked, axis=1)
    tokens[:, length - 1 : length] = asked
    tokens[:, length:] = np.take_along_axis(tokens, where + 1, axis=1)
    return tokens, self.last(draws.rows)
