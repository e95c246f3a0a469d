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

  The true difference of the means is normal around the observed one; where the other
  setting is better, it is lost.
  """
  integrate = pytest.importorskip("scipy.integrate")
  stats = pytest.importorskip("scipy.stats")
  array = np.array(scores, float)
  gap = abs(np.diff(array.mean(axis=1))[0])
  noise = (array.var(axis=1, ddof=1).sum() / array.shape[1]) ** 0.5
  density = stats.norm(-gap, noise).pdf
  return integrate.quad(lambda x: x**2 * density(x), 0, 20 * noise)[0]


@pytest.mark.parametrize(
  "scores", [[[1.0, 1.2, 0.9], [1.1, 1.25, 1.2]], [[2.0, 1.0], [2.5, 1.1]]]
)
def test_two_settings_lose_what_integration_says(scores):
  (found,) = losses([{"loss": scores}], "loss", lower=True)
  assert found["loss"] == pytest.approx(by_hand(scores), rel=0.35)
  negative = [[-x for x in runs] for runs in scores]
  (same,) = losses([{"accuracy": negative}], "accuracy", lower=False)
  assert same["accuracy"] == pytest.approx(found["loss"], rel=0.2)


def test_a_clear_choice_loses_nothing():
  scores = [[1.0, 1.01], [2.0, 2.02], [9.0, NAN]]
  assert losses([{"loss": scores}], "loss", lower=True) == [{"loss": 0.0}]


def test_runs_that_all_failed_lose_nothing():
  scores = [[NAN, NAN], [NAN, 1.0]]
  assert losses([{"loss": scores}], "loss", lower=True) == [{"loss": 0.0}]


def test_the_spread_is_pooled_over_mechanisms():
  steady, noisy = [[1.0, 1.0], [1.1, 1.1]], [[1.0, 3.0], [3.0, 1.0]]
  (alone,) = losses([{"loss": steady}], "loss", lower=True)
  pooled, _ = losses([{"loss": steady}, {"loss": noisy}], "loss", lower=True)
  assert alone["loss"] == 0
  assert pooled["loss"] > 0


def test_a_noisy_setting_that_is_far_worse_adds_little():
  """Its spread is its own, and not that of the settings that are near the best."""
  near = [[1.0, 1.01], [1.1, 1.11]]
  (alone,) = losses([{"loss": near}], "loss", lower=True)
  (beside,) = losses([{"loss": [*near, [9.0, 10.0]]}], "loss", lower=True)
  assert beside == alone


def test_other_metrics_lose_as_much_in_units_of_their_spread():
  scores = {
    "accuracy": [[0.5, 0.7], [0.6, 0.5]],
    "loss": [[1.0, 3.0], [2.0, 1.0]],
  }
  (found,) = losses([scores], "accuracy", lower=False)
  assert found["accuracy"] > 0
  assert found["loss"] == pytest.approx(100 * found["accuracy"])
