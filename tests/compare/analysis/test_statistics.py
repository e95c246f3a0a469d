"""The statistics agree with scipy and statsmodels, and have the stated error rates."""

import sys

import numpy as np
import pytest

from attention_lab.compare.analysis import planning, statistics
from attention_lab.errors import UserError

stats = pytest.importorskip("scipy.stats")

VALUES = [1.52, 1.49, 1.61, 1.44, 1.57]
BASELINE = [1.55, 1.50, 1.70, 1.49, 1.58]
CONFIDENCE = 0.999  # Confidence of the bounds on simulated counts; the seeds are fixed.


def by_seed(values):
  return dict(enumerate(values))


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_interval_agrees_with_scipy(level):
  found = statistics.interval(VALUES, level)
  expected = stats.t.interval(level, 4, np.mean(VALUES), stats.sem(VALUES))
  np.testing.assert_allclose(found, (np.mean(VALUES), *expected))


def test_interval_of_two_values_is_exact():
  """The quantile of t at 97.5 % with one degree of freedom is tan(0.475 π)."""
  found = statistics.interval([1, 3])
  half = np.tan(0.475 * np.pi)
  np.testing.assert_allclose(found, (2, 2 - half, 2 + half))


def test_one_value_has_no_interval():
  assert statistics.interval([2.5]) == (2.5, None, None)


def test_equal_values_have_an_empty_interval():
  assert statistics.interval([0.1] * 3) == (0.1, 0.1, 0.1)


def test_paired_difference_agrees_with_scipy():
  found = statistics.paired(by_seed(VALUES), by_seed(BASELINE))
  expected = stats.ttest_rel(VALUES, BASELINE)
  low, high = expected.confidence_interval(0.95)
  assert found.p == pytest.approx(expected.pvalue)
  np.testing.assert_allclose([found.low, found.high], [low, high])
  assert found.sd == pytest.approx(np.std(np.subtract(VALUES, BASELINE), ddof=1))
  assert found.seeds == 5


def test_only_common_seeds_are_paired():
  values = {3: 9.0, 1: 1.0, 2: 4.0}
  baseline = {2: 2.0, 1: 0.0, 7: 100.0}
  found = statistics.paired(values, baseline)
  assert (found.mean, found.seeds) == (1.5, 2)
  assert statistics.paired(values, {7: 1.0}) is None


def test_one_seed_has_a_difference_without_p_value():
  assert statistics.paired({0: 3.0}, {0: 1.0}) == (2.0, None, None, None, None, 1)


def test_differences_that_are_all_zero_have_p_one():
  assert statistics.paired(by_seed(VALUES), by_seed(VALUES)) == (0, 0, 0, 0, 1, 5)


def test_equal_nonzero_differences_have_p_zero():
  """The differences are equal although rounding makes their last digits differ."""
  values, baseline = [1.6, 2.7, 13.1], [1.5, 2.6, 13.0]
  assert len({a - b for a, b in zip(values, baseline, strict=True)}) > 1
  found = statistics.paired(by_seed(values), by_seed(baseline))
  assert found.mean == pytest.approx(0.1)
  assert found.low == found.high == found.mean
  assert (found.sd, found.p) == (0, 0)


def test_small_variation_is_not_treated_as_rounding():
  values = [value + 1e-9 * i for i, value in enumerate(BASELINE)]
  assert 0 < statistics.paired(by_seed(values), by_seed(BASELINE)).p < 1


def test_holm_of_small_example_is_exact():
  """The corrected values are 0.01 × 4, 0.02 × 3, 0.03 × 2 and 0.2 × 1."""
  found = statistics.holm([0.2, 0.01, None, 0.03, 0.02])
  assert found[2] is None
  np.testing.assert_allclose(
    [p for p in found if p is not None], [0.2, 0.04, 0.06, 0.06]
  )
  assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
  assert statistics.holm([None]) == [None]


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_holm_agrees_with_statsmodels(rows):
  multiple = pytest.importorskip("statsmodels.stats.multitest")
  p_values = np.random.default_rng(rows).random(rows) ** 3
  expected = multiple.multipletests(p_values, method="holm")[1]
  np.testing.assert_allclose(statistics.holm(p_values.tolist()), expected)


def significant(effects, seeds, count=1000):
  """Return which rows of simulated comparisons differ significantly: bool [count, rows].

  Differences have standard deviation 1. As in a comparison, the rows share a baseline, so
  their differences are correlated.
  """
  rng = np.random.default_rng(len(effects) + seeds)
  noise = rng.normal(size=(count, len(effects), seeds)) / 2**0.5
  baselines = rng.normal(size=(count, seeds)) / 2**0.5
  seed_effect = rng.normal(size=(count, seeds))  # The same for all rows.
  found = []
  for c in range(count):
    baseline = by_seed(baselines[c] + seed_effect[c])
    rows = [
      by_seed(effect + seed_effect[c] + row)
      for effect, row in zip(effects, noise[c], strict=True)
    ]
    found.append(statistics.holm([statistics.paired(row, baseline).p for row in rows]))
  return np.array(found) < 0.05


def plausible(successes, trials, probability):
  """Return whether a number of successes is plausible for a probability."""
  low, high = stats.binom.interval(CONFIDENCE, trials, probability)
  print(
    f"{successes} of {trials}; {trials * probability:.0f} expected, "
    f"{low:.0f} to {high:.0f}"
  )
  return low <= successes <= high


def test_false_positive_rate_of_one_equal_row_is_alpha():
  assert plausible(significant([0], seeds=5).sum(), 1000, 0.05)


@pytest.mark.parametrize("seeds", [3, 5])
def test_family_wise_error_rate_is_at_most_alpha(seeds):
  """At most 5 % of comparisons have a significant row if all four equal the baseline."""
  wrong = significant([0] * 4, seeds).any(axis=1).sum()
  print(f"{wrong} of 1000 comparisons have a false positive")
  assert wrong <= stats.binom.ppf(CONFIDENCE, 1000, 0.05)


def test_different_row_does_not_make_equal_rows_significant():
  found = significant([0, 0, 3.0], seeds=5)
  wrong = found[:, :2].any(axis=1).sum()
  print(f"{wrong} of 1000; the different row was significant in {found[:, 2].sum()}")
  assert wrong <= stats.binom.ppf(CONFIDENCE, 1000, 0.05)
  assert found[:, 2].sum() > 900


def test_detection_rate_equals_power():
  expected = planning.power(1.0, 10)
  assert expected == pytest.approx(0.8031, abs=1e-4)
  assert plausible(significant([1.0], seeds=10).sum(), 1000, expected)


def test_missing_scipy_is_reported_in_one_line(monkeypatch):
  monkeypatch.setitem(sys.modules, "scipy", None)
  with pytest.raises(UserError, match=r"pip install scipy, or .* \[compare\]"):
    statistics.interval(VALUES)
