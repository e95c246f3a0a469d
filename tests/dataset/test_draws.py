"""Random numbers by example are uniform, distinct where asked, and never repeat."""

import collections

import numpy as np

from attention_lab.dataset.base.draws import Draws


def test_distinct_numbers_are_every_choice_alike():
  drawn = Draws(0, 1, np.arange(12_000)).distinct(4, 3)
  counts = collections.Counter(map(tuple, drawn.tolist()))
  assert len(counts) == 24
  assert all(len(set(choice)) == 3 for choice in counts)
  assert 400 < min(counts.values()) <= max(counts.values()) < 600


def test_draws_are_uniform_and_never_repeat():
  draws = Draws(3, 2, np.arange(2000))
  numbers = draws.uniform(50)
  assert 0 < numbers.min() < numbers.max() < 1
  np.testing.assert_allclose(np.histogram(numbers, 10)[0], 10_000, rtol=0.04)
  assert abs(np.corrcoef(numbers[1:].ravel(), numbers[:-1].ravel())[0, 1]) < 0.01
  assert abs(np.corrcoef(numbers[:, 1:].ravel(), numbers[:, :-1].ravel())[0, 1]) < 0.01
  others = [Draws(3, 3, np.arange(2000)), Draws(4, 2, np.arange(2000)), draws]
  for other in others:
    assert not (other.uniform(50) == numbers).any()
