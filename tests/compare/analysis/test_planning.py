"""Power and the seeds needed agree with scipy and statsmodels."""

import pytest

from attention_lab.compare.analysis import planning, statistics

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
def test_power_agrees_with_noncentral_t(n, alpha):
  edge = stats.t.ppf(1 - alpha / 2, n - 1)
  for effect in (0.0, 0.2, 0.5, 1.0, -1.0):
    moved = stats.nct(n - 1, effect * n**0.5)
    expected = moved.sf(edge) + moved.cdf(-edge)
    assert planning.power(effect, n, alpha) == pytest.approx(expected, abs=1e-5)


def test_power_agrees_with_statsmodels():
  planner = pytest.importorskip("statsmodels.stats.power").TTestPower()
  for effect, n in ((0.3, 12), (0.8, 6), (1.0, 10)):
    expected = planner.power(effect, n, 0.05)
    assert planning.power(effect, n) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 7])
@pytest.mark.parametrize("effect", [0.05, 0.3, 1.0, -1.0, 3.0, 30.0])
def test_seeds_needed_is_the_smallest_sufficient_number(effect, alpha):
  """The effects include sizes at which scipy's noncentral t returns NaN."""
  n = planning.seeds_needed(effect * 0.01, 0.01, alpha=alpha)
  assert planning.power(effect, n, alpha) >= 0.8
  assert n == 2 or planning.power(effect, n - 1, alpha) < 0.8


def test_seeds_needed_of_extreme_effects():
  assert planning.seeds_needed(0.0, 0.1) is None
  assert planning.seeds_needed(0.0, 0.0) is None
  assert planning.seeds_needed(1e-6, 1.0) is None
  assert planning.seeds_needed(0.1, 0.0) == 2


def test_range_of_seeds_needed_inverts_the_noncentral_t():
  """At its ends, 10 % of samples show a larger effect, or a smaller one."""
  values, others = [1.1, 1.2, 1.4, 1.2, 1.5], [1.0, 1.1, 1.0, 1.1, 1.2]
  pair = statistics.paired(dict(enumerate(values)), dict(enumerate(others)))
  observed = pair.mean / pair.sd * 5**0.5
  found = planning.needed(pair)
  for seeds, share in ((found.low, 0.1), (found.high, 0.9)):
    effects = [e / 1000 for e in range(1, 5000)]
    below = stats.nct.cdf(observed, 4, [e * 5**0.5 for e in effects])
    at = min(zip(abs(below - share), effects, strict=True))[1]
    assert planning.seeds_needed(at, 1.0) == pytest.approx(seeds, rel=0.02)
  assert found.low < found.seeds < found.high


def test_seeds_needed_are_unbounded_if_the_effect_may_be_zero():
  pair = statistics.Paired(0.001, -0.1, 0.1, 0.1, 0.98, 5)
  found = planning.needed(pair)
  assert (found.seeds, found.high) == (None, None)
  assert 2 < found.low < planning.MOST_SEEDS
  assert planning.needed(statistics.Paired(0.1, None, None, None, None, 1)) is None
