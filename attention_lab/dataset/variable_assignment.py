"""Variables that are assigned to one another: the value of the last in a chain.

Variable tracking of RULER (Hsieh et al., arXiv:2404.06654).
"""

import dataclasses
import string
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.generated import Generated
from attention_lab.dataset.base.reference import empty
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary

LETTERS, DIGITS = string.ascii_lowercase, string.digits
EQUALS, END, BLANK, ASKS = range(len(LETTERS) + len(DIGITS), len(LETTERS) + 14)


@register_dataset("variable_assignment")
@dataclasses.dataclass(kw_only=True)
class VariableAssignment(Generated):
  """`a=3;….x=7;b=a;….c=b;y=x;c?` has the answer `3`, the only token that counts.

  A chain assigns a random digit to a variable, and then, `hops` times, its last variable to
  a new one. There are `chains` of them. The order of all statements is random, but each
  chain keeps its own order; blanks fill the space between them. The question is for the
  last variable of one chain.

  Departures:
    - RULER asks for all variables that have a given value, in English with random names of
      five letters and numbers of five digits, between sentences of noise.
  """

  tasks: ClassVar[tuple[str, ...]] = ("labels",)

  sequence_length: int = 64  # Tokens in an example, blanks and question included.
  hops: int = 2  # Assignments from variable to variable in a chain.
  chains: int = 2  # Chains, each of its own variables: at most 26 in all.

  def check(self) -> None:
    self.require("hops", self.hops >= 0, "0 or more")
    self.require("chains", self.chains >= 1, "1 or more")
    statements = self._statements
    fits = statements <= len(LETTERS)
    self.require("chains", fits, f"less: {statements} variables are more than 26")
    least = 4 * statements + 2
    self.require("sequence_length", self.sequence_length >= least, f"{least} or more")

  @property
  def _statements(self) -> int:
    return self.chains * (self.hops + 1)

  @property
  def vocabulary(self) -> CharacterVocabulary:
    return CharacterVocabulary(LETTERS + DIGITS + "=;.?")

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    rows, statements = random.rows, self._statements
    variables = random.distinct(len(LETTERS), statements).reshape(rows, self.chains, -1)
    values = len(LETTERS) + random.integers(len(DIGITS), self.chains)
    sources = np.concatenate([values[:, :, None], variables[:, :, :-1]], axis=2)

    room = self.sequence_length - 2
    slots = random.order(room // 4)[:, :statements].reshape(variables.shape)
    places = 4 * np.sort(slots, axis=2)[..., None] + np.arange(4)
    parts = np.stack(np.broadcast_arrays(variables, EQUALS, sources, END), axis=3)
    tokens = np.full((rows, self.sequence_length + 1), BLANK)
    np.put_along_axis(tokens, places.reshape(rows, -1), parts.reshape(rows, -1), axis=1)
    question = np.broadcast_arrays(variables[:, 0, -1], ASKS, values[:, 0])
    tokens[:, -3:] = np.stack(question, axis=1)
    return tokens, self.last(rows)

  def reference_attention(self, batch: Batch) -> np.ndarray:
    inputs, found = batch.inputs, empty(batch.inputs)
    rows, assigned = np.arange(len(inputs)), inputs[:, 1:] == EQUALS
    wanted = inputs[:, -2]
    for _ in range(self.hops + 1):  # From the chain's last assignment to its first.
      place = ((inputs[:, :-1] == wanted[:, None]) & assigned).argmax(axis=1)
      found[rows, -1, place] = found[rows, -1, place + 2] = True
      wanted = inputs[rows, place + 2]
    return found
