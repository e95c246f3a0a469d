"""Modular arithmetic: a sum of products without brackets, and its remainder.

Delétang et al., arXiv:2207.02098.
"""

import dataclasses
import string
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.generated import Generated
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary

OPERATORS = "+-*"


@register_dataset("modular_arithmetic")
@dataclasses.dataclass(kw_only=True)
class ModularArithmetic(Generated):
  """`1+2*4-3=` has the answer `1`: random digits and operators; * binds tighter.

  Only the answer counts.
  """

  tasks: ClassVar[tuple[str, ...]] = ("labels",)

  sequence_length: int = 32  # Tokens in an example, even: a digit more than operators.
  modulus: int = 5  # Digits are below it, and so is the answer.

  def check(self) -> None:
    self.require("modulus", 2 <= self.modulus <= 10, "2 to 10")
    even = self.sequence_length >= 2 and self.sequence_length % 2 == 0
    self.require("sequence_length", even, "an even number, 2 or more")

  @property
  def vocabulary(self) -> CharacterVocabulary:
    return CharacterVocabulary(string.digits[: self.modulus] + OPERATORS + "=")

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    count, modulus = self.sequence_length // 2, self.modulus
    digits = random.integers(modulus, count)
    operators = random.integers(len(OPERATORS), count - 1)

    total = np.zeros(random.rows, np.int64)
    product = digits[:, 0]  # The last one, with its sign.
    for digit, operator in zip(digits.T[1:], operators.T, strict=True):
      times = operator == 2
      total += np.where(times, 0, product)
      product = np.where(times, product * digit % modulus, (1 - 2 * operator) * digit)

    tokens = np.empty((random.rows, self.sequence_length + 1), np.int64)
    tokens[:, 0:-1:2] = digits
    tokens[:, 1:-2:2] = modulus + operators
    tokens[:, -2] = modulus + len(OPERATORS)
    tokens[:, -1] = (total + product) % modulus
    return tokens, self.last(random.rows)
