"""Tasks that keep a state: answers are compared with independent references."""

import itertools
import math

import numpy as np
import pytest

from attention_lab.dataset.base.dataset import SPLITS
from attention_lab.dataset.base.guess import constant_guess
from tests.dataset.test_generated import assert_answers_equal_those_of, make, rows


def rearranged(words, data):
  """A row of points, which each element rearranges."""
  row, found = None, {}
  for i, word in enumerate(words):
    row = sorted(word) if row is None else row
    row = [row[int(place)] for place in word]
    found[i] = "".join(row)
  return found


def turned(words, data):
  angles = itertools.accumulate(map(int, words))
  return {i: str(angle % int(data.group[1:])) for i, angle in enumerate(angles)}


def flip_flop(words, data):
  instructions, bits = words[::2], words[1::2]
  assert instructions[0] == "w"
  assert instructions[-1] == "r"
  stored, found = None, {}
  for i, (instruction, bit) in enumerate(zip(instructions, bits, strict=True)):
    if instruction == "w":
      stored = bit
    elif instruction == "r":
      assert bit == stored
      found[2 * i] = stored
  return found


CASES = [
  (rearranged, "group_words(group='s3')"),
  (rearranged, "group_words(sequence_length=100)"),
  (rearranged, "group_words(group='a5', sequence_length=1)"),
  (rearranged, "group_words(group='s6')"),
  (turned, "group_words(group='z60', sequence_length=200)"),
  (turned, "group_words(group='z2')"),
  (flip_flop, "flip_flop"),
  (flip_flop, "flip_flop(ignore=0.1, sequence_length=60)"),
  (flip_flop, "flip_flop(ignore=1, sequence_length=4)"),
]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("reference", "spec"), CASES, ids=[spec for _, spec in CASES])
def test_answers_equal_those_of_the_reference(reference, spec, split):
  assert_answers_equal_those_of(reference, spec, split)


@pytest.mark.parametrize(
  ("group", "size", "even"),
  [("s3", 6, False), ("s5", 120, False), ("a4", 12, True), ("a5", 60, True)],
)
def test_groups_of_permutations_are_complete(group, size, even):
  data = make(f"group_words(group={group!r})")
  points = int(group[1])
  every = ["".join(map(str, p)) for p in itertools.permutations(range(points))]
  # The sign of a permutation is the determinant of its matrix.
  signs = [round(np.linalg.det(np.eye(points)[list(map(int, p))])) for p in every]
  expected = [p for p, sign in zip(every, signs, strict=True) if sign == 1 or not even]
  assert list(data.vocabulary.words) == expected
  assert len(expected) == size


def test_every_product_of_a_group_is_about_as_frequent():
  guess = constant_guess(make("group_words(group='a5')"))
  assert guess["accuracy"] < 1.5 / 60
  assert guess["loss"] == pytest.approx(math.log(60), abs=0.01)


@pytest.mark.parametrize("ignore", [0.1, 0.8])
def test_flip_flops_ignore_with_the_given_probability(ignore):
  data = make(f"flip_flop(ignore={ignore}, sequence_length=64)")
  inner = "".join("".join(words[2:-2:2]) for words, _ in rows(data, count=200))
  shares = {kind: inner.count(kind) / len(inner) for kind in "iwr"}
  assert shares["i"] == pytest.approx(ignore, abs=0.02)
  assert shares["w"] == pytest.approx((1 - ignore) / 2, abs=0.02)
