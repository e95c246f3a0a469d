"""The statistics are scipy's and statsmodels', and right as often as they say."""

import sys

import numpy as np
import pytest

from attention_lab.compare.analysis import statistics
from attention_lab.errors import UserError

stats = pytest.importorskip("scipy.stats")

HERE = [1.52, 1.49, 1.61, 1.44, 1.57]
THERE = [1.55, 1.50, 1.70, 1.49, 1.58]
CHANCE = 0.999  # A test of chance fails once in a thousand seeds; the seeds are fixed.


def by_seed(values):
  return dict(enumerate(values))


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_an_interval_is_scipys(level):
  found = statistics.interval(HERE, level)
  expected = stats.t.interval(level, 4, np.mean(HERE), stats.sem(HERE))
  np.testing.assert_allclose(found, (np.mean(HERE), *expected))


def test_an_interval_by_hand():
  """Of two values, 1 and 3: t at 97.5 % with one degree of freedom is tan(0.475 π)."""
  found = statistics.interval([1, 3])
  half = np.tan(0.475 * np.pi)
  np.testing.assert_allclose(found, (2, 2 - half, 2 + half))


def test_one_value_has_no_interval():
  assert statistics.interval([2.5]) == (2.5, None, None)


def test_equal_values_have_an_interval_of_nothing():
  assert statistics.interval([0.1] * 3) == (0.1, 0.1, 0.1)


def test_a_paired_difference_is_scipys():
  found = statistics.paired(by_seed(HERE), by_seed(THERE))
  expected = stats.ttest_rel(HERE, THERE)
  low, high = expected.confidence_interval(0.95)
  assert found.p == pytest.approx(expected.pvalue)
  np.testing.assert_allclose([found.low, found.high], [low, high])
  assert found.sd == pytest.approx(np.std(np.subtract(HERE, THERE), ddof=1))
  assert found.seeds == 5


def test_only_seeds_that_both_have_are_paired():
  here = {3: 9.0, 1: 1.0, 2: 4.0}
  there = {2: 2.0, 1: 0.0, 7: 100.0}
  found = statistics.paired(here, there)
  assert (found.mean, found.seeds) == (1.5, 2)
  assert statistics.paired(here, {7: 1.0}) is None


def test_one_seed_has_a_difference_and_no_chance():
  assert statistics.paired({0: 3.0}, {0: 1.0}) == (2.0, None, None, None, None, 1)


def test_differences_that_are_all_zero_tell_nothing():
  assert statistics.paired(by_seed(HERE), by_seed(HERE)) == (0, 0, 0, 0, 1, 5)


def test_differences_that_are_all_the_same_are_certain():
  """Though in floating point they differ in the last digits."""
  here, there = [1.6, 2.7, 13.1], [1.5, 2.6, 13.0]
  assert len({a - b for a, b in zip(here, there, strict=True)}) > 1
  found = statistics.paired(by_seed(here), by_seed(there))
  assert found.mean == pytest.approx(0.1)
  assert found.low == found.high == found.mean
  assert (found.sd, found.p) == (0, 0)


def test_a_small_spread_is_not_rounding():
  here = [value + 1e-9 * i for i, value in enumerate(THERE)]
  assert 0 < statistics.paired(by_seed(here), by_seed(THERE)).p < 1


def test_holm_by_hand():
  """0.01 × 4, 0.02 × 3; 0.03 × 2 is as much; 0.2 × 1."""
  found = statistics.holm([0.2, 0.01, None, 0.03, 0.02])
  assert found[2] is None
  np.testing.assert_allclose(
    [p for p in found if p is not None], [0.2, 0.04, 0.06, 0.06]
  )
  assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
  assert statistics.holm([None]) == [None]


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_holm_is_statsmodels(rows):
  multiple = pytest.importorskip("statsmodels.stats.multitest")
  p_values = np.random.default_rng(rows).random(rows) ** 3
  expected = multiple.multipletests(p_values, method="holm")[1]
  np.testing.assert_allclose(statistics.holm(p_values.tolist()), expected)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
def test_power_is_that_of_the_noncentral_t(n, alpha):
  edge = stats.t.ppf(1 - alpha / 2, n - 1)
  for effect in (0.0, 0.2, 0.5, 1.0, -1.0):
    moved = stats.nct(n - 1, effect * n**0.5)
    expected = moved.sf(edge) + moved.cdf(-edge)
    assert statistics.power(effect, n, alpha) == pytest.approx(expected, abs=1e-5)


def test_power_is_statsmodels():
  planner = pytest.importorskip("statsmodels.stats.power").TTestPower()
  for effect, n in ((0.3, 12), (0.8, 6), (1.0, 10)):
    expected = planner.power(effect, n, 0.05)
    assert statistics.power(effect, n) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 7])
@pytest.mark.parametrize("effect", [0.05, 0.3, 1.0, -1.0, 3.0, 30.0])
def test_no_fewer_seeds_would_do(effect, alpha):
  """At sizes, too, where scipy's noncentral t is not a number."""
  n = statistics.seeds_needed(effect * 0.01, 0.01, alpha=alpha)
  assert statistics.power(effect, n, alpha) >= 0.8
  assert n == 2 or statistics.power(effect, n - 1, alpha) < 0.8


def test_seeds_needed_at_the_ends():
  assert statistics.seeds_needed(0.0, 0.1) is None
  assert statistics.seeds_needed(0.0, 0.0) is None
  assert statistics.seeds_needed(1e-6, 1.0) is None
  assert statistics.seeds_needed(0.1, 0.0) == 2


def called(effects, seeds, count=1000):
  """Which rows of simulated comparisons are called different: bool [count, rows].

  A row's differences are those of its losses to one baseline, so they hang together, as
  they do in a comparison; they have the standard deviation 1.
  """
  rng = np.random.default_rng(len(effects) + seeds)
  noise = rng.normal(size=(count, len(effects), seeds)) / 2**0.5
  baseline = rng.normal(size=(count, seeds)) / 2**0.5
  luck = rng.normal(size=(count, seeds))  # Of a seed, the same for all rows.
  found = []
  for c in range(count):
    there = by_seed(baseline[c] + luck[c])
    here = [
      by_seed(e + luck[c] + row) for e, row in zip(effects, noise[c], strict=True)
    ]
    found.append(statistics.holm([statistics.paired(row, there).p for row in here]))
  return np.array(found) < 0.05


def between(successes, trials, share):
  """Whether so many successes are what chance makes of a share."""
  low, high = stats.binom.interval(CHANCE, trials, share)
  print(
    f"{successes} of {trials}; {trials * share:.0f} expected, {low:.0f} to {high:.0f}"
  )
  return low <= successes <= high


def test_one_row_that_is_the_baselines_equal_is_called_different_as_often_as_said():
  assert between(called([0], seeds=5).sum(), 1000, 0.05)


@pytest.mark.parametrize("seeds", [3, 5])
def test_rows_that_are_equal_are_rarely_called_different(seeds):
  """In at most 5 % of comparisons any of four is, whatever chance does to 5 %."""
  wrong = called([0] * 4, seeds).any(axis=1).sum()
  print(f"{wrong} of 1000 comparisons call a row different that is not")
  assert wrong <= stats.binom.ppf(CHANCE, 1000, 0.05)


def test_a_row_that_differs_does_not_make_others_differ():
  found = called([0, 0, 3.0], seeds=5)
  wrong = found[:, :2].any(axis=1).sum()
  print(f"{wrong} of 1000; the row that differs was found in {found[:, 2].sum()}")
  assert wrong <= stats.binom.ppf(CHANCE, 1000, 0.05)
  assert found[:, 2].sum() > 900


def test_a_difference_is_found_as_often_as_theory_says():
  expected = statistics.power(1.0, 10)
  assert expected == pytest.approx(0.8031, abs=1e-4)
  assert between(called([1.0], seeds=10).sum(), 1000, expected)


def test_a_missing_library_is_one_line(monkeypatch):
  monkeypatch.setitem(sys.modules, "scipy", None)
  with pytest.raises(UserError, match=r"pip install -e '\.\[compare\]'$"):
    statistics.interval(HERE)
