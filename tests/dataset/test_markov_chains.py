"""Markov chains: the best loss equals that of counting in plain Python."""

import collections
import itertools
import math

import numpy as np
import pytest

from attention_lab.dataset.base.guess import constant_guess
from attention_lab.errors import UserError
from tests.dataset.test_generated import make, rows


def loss_of_counting(data, smoothing):
  """Return the mean loss of counts plus a number, over the validation examples."""
  losses = []
  for words, targets in rows(data, "validation", count=512):
    before = data.n - 1
    assert sorted(targets) == list(range(before - 1, data.sequence_length))
    text = "".join(words) + targets[len(words) - 1]
    counts = collections.Counter()
    for end in range(before, len(text)):
      context, word = text[end - before : end], text[end]
      total = sum(counts[context, x] + smoothing for x in "abcdefgh"[: data.alphabet])
      losses.append(-math.log((counts[context, word] + smoothing) / total))
      counts[context, word] += 1
  return np.mean(losses)


@pytest.mark.parametrize("options", ["", "alphabet=2, n=4", "alphabet=8"])
def test_best_loss_is_that_of_counts_plus_one(options):
  data = make(f"markov_chains({options}{', ' if options else ''}sequence_length=60)")
  assert data.best_loss == pytest.approx(loss_of_counting(data, 1))
  assert data.best_loss < min(loss_of_counting(data, x) for x in (0.5, 2))
  assert data.best_loss < constant_guess(data)["loss"]


def test_examples_have_different_chains():
  """The share of "aa" among pairs after "a" is uniform between 0 and 1."""
  data = make("markov_chains(alphabet=2, sequence_length=400)")
  shares = []
  for words, _ in rows(data, count=200):
    follow = [b for a, b in itertools.pairwise(words) if a == "a"]
    if len(follow) > 20:
      shares.append(follow.count("a") / len(follow))
  assert np.std(shares) == pytest.approx(12**-0.5, abs=0.05)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ("alphabet=1", "take 2 to 26 letters"),
    ("alphabet=10, n=5", "n=5.*at most 1,000 contexts"),
    ("n=10, alphabet=2, sequence_length=8", "sequence_length=8.*take 9 or more"),
  ],
)
def test_invalid_options_are_rejected(options, message):
  with pytest.raises(UserError, match=message):
    make(f"markov_chains({options})")
