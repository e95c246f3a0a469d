"""Word problem of a group: the product of the elements up to each.

Merrill et al., arXiv:2404.08819; Grazzi et al., arXiv:2411.12537.
"""

import dataclasses
import functools
import itertools
import re

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.generated import Tagged, tagged
from attention_lab.tokenizer.base.vocabulary import WordVocabulary

# Permutations of n points are too many above these n.
MOST_POINTS = {"s": 6, "a": 6, "z": 720}
ALLOWED = "s2 to s6 (all permutations), a3 to a6 (even ones) or z2 to z720 (rotations)"


@register_dataset("group_words")
@dataclasses.dataclass(kw_only=True)
class GroupWords(Tagged):
  """`102 021 210 …` has the targets `102 120 021 …`: the product up to each element.

  An element is a permutation of n points, written as its images; a rotation in z60 as its
  angle, 0 to 59. The product of p and q maps i to p(q(i)), so the target is where a row of
  points 0 1 2 … gets to if each element p puts at place i what stood at place p(i). All
  elements are equally probable. The word problem of s5 and of a5 is complete for NC¹; those
  of s3 and of z60 are in TC⁰.
  """

  sequence_length: int = 32  # Elements in an example.
  group: str = "s5"  # s2 to s6, a3 to a6 or z2 to z720.

  def check(self) -> None:
    self.require("group", self._kind_and_points() is not None, ALLOWED)
    self.require("sequence_length", self.sequence_length >= 1, "1 or more")

  def _kind_and_points(self) -> tuple[str, int] | None:
    """Return the letter of the group and its number of points; None if it is unknown."""
    match = re.fullmatch(r"([saz])([1-9]\d{0,2})", self.group)
    if match is None:
      return None
    kind, points = match[1], int(match[2])
    fewest = 3 if kind == "a" else 2
    return (kind, points) if fewest <= points <= MOST_POINTS[kind] else None

  @functools.cached_property
  def _elements(self) -> np.ndarray:
    """The permutations of the group: [elements, points]; the first is the identity."""
    found = self._kind_and_points()
    assert found is not None
    kind, points = found
    if kind == "z":
      return (np.arange(points)[:, None] + np.arange(points)) % points
    every = np.array(list(itertools.permutations(range(points))))
    return every if kind == "s" else every[~_odd(every)]

  @functools.cached_property
  def _products(self) -> np.ndarray:
    """The number of the product of each two elements: [elements, elements]."""
    elements = self._elements
    first = elements[:, :6]  # They tell elements apart: n is at most 6, or all rotate.
    places = elements.shape[1] ** np.arange(first.shape[1])
    codes, products = first @ places, elements[:, first] @ places
    order = np.argsort(codes)
    return order[np.searchsorted(codes, products, sorter=order)]

  @functools.cached_property
  def vocabulary(self) -> WordVocabulary:
    if self.group.startswith("z"):
      return WordVocabulary.numbers(len(self._elements))
    return WordVocabulary(tuple("".join(map(str, p)) for p in self._elements))

  def tag(self, random: CounterRandom) -> Batch:
    elements = random.integers(len(self._elements), self.sequence_length)
    products = np.empty_like(elements)
    product = np.zeros(random.rows, np.int64)
    for place, element in enumerate(elements.T):
      product = self._products[product, element]
      products[:, place] = product
    return tagged(elements, products)


def _odd(permutations: np.ndarray) -> np.ndarray:
  """Return which permutations have an odd number of inversions: [P, n] → bool [P]."""
  earlier, later = np.triu_indices(permutations.shape[1], 1)
  inversions = permutations[:, earlier] > permutations[:, later]
  return inversions.sum(axis=1) % 2 == 1
