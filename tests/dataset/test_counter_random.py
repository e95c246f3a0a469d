"""Counter-based random numbers are uniform and never repeat; `distinct` repeats none."""

import collections

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom


def test_distinct_numbers_are_every_choice_equally_often():
  choices = CounterRandom(0, 1, np.arange(12_000)).distinct(4, 3)
  counts = collections.Counter(map(tuple, choices.tolist()))
  assert len(counts) == 24
  assert all(len(set(choice)) == 3 for choice in counts)
  assert 400 < min(counts.values()) <= max(counts.values()) < 600


def test_random_numbers_are_uniform_and_never_repeat():
  random = CounterRandom(3, 2, np.arange(2000))
  numbers = random.uniform(50)
  assert 0 < numbers.min() < numbers.max() < 1
  np.testing.assert_allclose(np.histogram(numbers, 10)[0], 10_000, rtol=0.04)
  assert abs(np.corrcoef(numbers[1:].ravel(), numbers[:-1].ravel())[0, 1]) < 0.01
  assert abs(np.corrcoef(numbers[:, 1:].ravel(), numbers[:, :-1].ravel())[0, 1]) < 0.01
  others = [
    CounterRandom(3, 3, np.arange(2000)),
    CounterRandom(4, 2, np.arange(2000)),
    random,
  ]
  for other in others:
    assert not (other.uniform(50) == numbers).any()
