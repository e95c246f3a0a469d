"""The choice of settings, and the variance of what a choice loses."""

import numpy as np
import pytest

from attention_lab.compare.analysis.choice import best, losses

NAN = float("nan")


@pytest.mark.parametrize(
  ("scores", "lower", "expected"),
  [
    ([[3, 3], [1, 2], [2, 2]], True, 1),
    ([[3, 3], [1, 2], [2, 2]], False, 0),
    ([[3, 3], [0, NAN], [2, 2]], True, 2),  # A value that diverges is not chosen.
    ([[3, 3], [9, NAN], [2, 2]], False, 0),
    ([[1, 1], [1, 1]], True, 0),  # The first of equal ones.
    ([[NAN, NAN], [NAN, 1]], True, 0),
  ],
)
def test_the_best_mean_is_chosen(scores, lower, expected):
  assert best(scores, lower) == expected


def by_hand(scores):
  """Return the mean square of what a choice between two settings loses, by integration.

  The difference of the two means is normal around the observed one. If it changes its
  sign, the other setting is chosen, and the observed difference is lost.
  """
  stats = pytest.importorskip("scipy.stats")
  array = np.array(scores, float)
  gap = array.mean(axis=1)
  changes = array[1] - array[0]
  # The two settings have equal seeds, so half the variance of the difference is each's.
  noise = changes.std(ddof=1) / 2**0.5 / len(changes) ** 0.5
  size = abs(gap[1] - gap[0])
  return size**2 * stats.norm.sf(size / (noise * 2**0.5))


@pytest.mark.parametrize(
  "scores", [[[1.0, 1.2, 0.9], [1.1, 1.25, 1.2]], [[2.0, 1.0], [2.5, 1.1]]]
)
def test_two_settings_lose_what_integration_says(scores):
  (found,) = losses([{"loss": scores}], "loss", lower=True)
  assert found["loss"] == pytest.approx(by_hand(scores), rel=0.2)
  negative = [[-x for x in runs] for runs in scores]
  (same,) = losses([{"accuracy": negative}], "accuracy", lower=False)
  assert same["accuracy"] == pytest.approx(found["loss"], rel=0.2)


def test_a_clear_choice_loses_nothing():
  scores = [[1.0, 1.01], [2.0, 2.02], [9.0, NAN]]
  assert losses([{"loss": scores}], "loss", lower=True) == [{"loss": 0.0}]


def test_what_a_seed_adds_to_all_settings_is_no_noise():
  steady = [[1.0, 1.01, 0.99], [1.02, 1.04, 0.99]]
  shifted = [[x + 10 * i for i, x in enumerate(runs)] for runs in steady]
  first, second = (
    losses([{"loss": scores}], "loss", lower=True)[0]["loss"]
    for scores in (steady, shifted)
  )
  assert first == pytest.approx(second)
  assert first > 0


def test_the_spread_is_pooled_over_mechanisms():
  steady, noisy = [[1.0, 1.0], [1.1, 1.1]], [[1.0, 3.0], [3.0, 1.0]]
  (alone,) = losses([{"loss": steady}], "loss", lower=True)
  pooled, _ = losses([{"loss": steady}, {"loss": noisy}], "loss", lower=True)
  assert alone["loss"] == 0
  assert pooled["loss"] > 0


def test_other_metrics_lose_by_the_same_choice():
  scores = {
    "accuracy": [[0.5, 0.7], [0.6, 0.5]],
    "loss": [[1.0, 1.0], [3.0, 3.0]],
  }
  (found,) = losses([scores], "accuracy", lower=False)
  share = found["accuracy"] / 0.05**2  # Of repetitions that choose the other setting.
  assert 0 < share < 0.6
  assert found["loss"] == pytest.approx(share * 4.0)
