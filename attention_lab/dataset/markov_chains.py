"""Markov chains in context: each example comes from a random chain of its own.

Edelman et al., arXiv:2402.11004.
"""

import dataclasses
import functools
import string
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.generated import Generated
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary


@register_dataset("markov_chains")
@dataclasses.dataclass(kw_only=True)
class MarkovChains(Generated):
  """`abacabbacab…`: the next letter's probabilities follow from counts in the example.

  They depend on the last n - 1 letters, the context. For each context they are drawn
  uniformly from all distributions (Dirichlet, all parameters 1), anew for each example. All
  letters behind the first context count. The best prediction is (m_x + 1) / (m + alphabet),
  where letter x followed m_x of the m former occurrences of the context; `best_loss` is its
  loss on the validation examples. The paper has 2 or 3 letters and n from 2 to 4.

  Departures:
    - The first letters are uniform, not drawn from the chain's stationary distribution.
  """

  primary: ClassVar[str] = "loss"

  sequence_length: int = 100  # Tokens in an example.
  alphabet: int = 3  # Different letters, 2 to 26.
  n: int = 2  # A letter depends on the n - 1 before it.

  def check(self) -> None:
    self.require("alphabet", 2 <= self.alphabet <= 26, "2 to 26 letters")
    known = 2 <= self.n <= 10 and self._shape[0] <= 1000
    self.require("n", known, "2 or more, with at most 1,000 contexts")
    least = self.n - 1
    self.require("sequence_length", self.sequence_length >= least, f"{least} or more")

  @property
  def vocabulary(self) -> CharacterVocabulary:
    return CharacterVocabulary(string.ascii_lowercase[: self.alphabet])

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    rows, length, shape = np.arange(random.rows), self.sequence_length + 1, self._shape
    # Exponential numbers, divided by their sum, are a uniform draw of a distribution.
    exponential = -np.log(random.uniform(shape[0] * shape[1])).reshape(-1, *shape)
    limits = np.cumsum(exponential, axis=2)
    tokens, chance = random.integers(self.alphabet, length), random.uniform(length)
    for place, context in self._contexts(tokens):
      limit = limits[rows, context]
      above = chance[:, place, None] * limit[:, -1:] >= limit
      tokens[:, place] = above[:, :-1].sum(axis=1)
    counts = np.arange(length) >= self.n - 1
    return tokens, np.tile(counts, (random.rows, 1))

  @property
  def _shape(self) -> tuple[int, int]:
    """Numbers of contexts and of letters."""
    return self.alphabet ** (self.n - 1), self.alphabet

  def _contexts(self, tokens: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each place that counts and the number of the context before it, [B].

    Args:
      tokens: [B, T + 1]; those in front of a place are read when it is yielded.
    """
    length = self.n - 1
    powers = self.alphabet ** np.arange(length)
    for place in range(length, tokens.shape[1]):
      yield place, tokens[:, place - length : place] @ powers

  @functools.cached_property
  def best_loss(self) -> float:  # type: ignore[override]
    count = self.size("validation")
    tokens, _ = self.generate(self.random("validation", np.arange(count)))
    rows, seen = np.arange(count), np.ones((count, *self._shape))
    losses = []
    for place, context in self._contexts(tokens):
      known = seen[rows, context]
      losses.append(np.log(known.sum(axis=1) / known[rows, tokens[:, place]]))
      seen[rows, context, tokens[:, place]] += 1
    return float(np.mean(losses))
