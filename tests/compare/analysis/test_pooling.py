"""Pooled scores: equal to brute force and to scipy, with intervals that hold."""

import itertools

import numpy as np
import pytest

from attention_lab.compare.analysis import pooling

stats = pytest.importorskip("scipy.stats")

COMPARISONS = 2_000
TASKS = 3
NORMAL = np.random.Generator.standard_normal
# Noise of the scores, its standard deviation on each task, and the least coverage.
NOISE = {
  "equal": (NORMAL, (0.05, 0.05, 0.05), 0.95),
  "unequal": (NORMAL, (0.01, 0.03, 0.1), 0.92),
  "skewed, unequal": (
    lambda rng, shape: 1 - rng.standard_exponential(shape),
    (0.01, 0.03, 0.1),
    0.8,
  ),
}


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 12, 30])
def test_interquartile_mean_equals_that_of_scipy(size):
  scores = np.random.default_rng(size).normal(size=size)
  assert pooling.interquartile_mean(scores) == pytest.approx(
    stats.trim_mean(scores, 0.25), rel=1e-12
  )


def test_interquartile_mean_by_hand():
  assert pooling.interquartile_mean(np.array([9.0, 1, 2, 3, 4, 5, 6, -8])) == 3.5
  rows = np.array([[0.0, 1.0, 2.0, 90.0], [4.0, 3.0, 2.0, 1.0]])
  assert pooling.interquartile_mean(rows).tolist() == [1.5, 2.5]


def brute_force(scores, baseline):
  """Return the probability of improvement from all pairs of runs, one by one."""
  shares = []
  for mine, theirs in zip(scores, baseline, strict=True):
    wins = [1.0 if a > b else 0.5 * (a == b) for a in mine for b in theirs]
    shares.append(sum(wins) / len(wins))
  return sum(shares) / len(shares)


@pytest.mark.parametrize("seed", range(5))
def test_probability_of_improvement_equals_all_pairs(seed):
  rng = np.random.default_rng(seed)
  scores, baseline = (
    [rng.integers(0, 4, size=n).astype(float) for n in sizes]
    for sizes in ((3, 5, 2), (4, 3, 3))
  )
  found = pooling.improvement(scores, baseline)
  assert found.mean == pytest.approx(brute_force(scores, baseline), rel=1e-12)
  u = [
    stats.mannwhitneyu(a, b).statistic / (len(a) * len(b))
    for a, b in zip(scores, baseline, strict=True)
  ]
  assert found.mean == pytest.approx(np.mean(u), rel=1e-12)
  assert 0 <= found.low <= found.mean <= found.high <= 1


def test_interval_of_improvement_by_hand():
  """The edges solve |P − x| = 1.96 √V(x), with V of Newcombe's method 5."""
  found = pooling.improvement([np.array([1.0, 3, 4])], [np.array([2.0, 0, 2.5])])
  assert found.mean == pytest.approx(7 / 9)
  for edge in (found.low, found.high):
    inner = 1 + 2 * (1 - edge) / (2 - edge) + 2 * edge / (1 + edge)
    error = (edge * (1 - edge) * inner / 9) ** 0.5
    assert abs(found.mean - edge) == pytest.approx(1.959964 * error, abs=1e-5)


def test_certain_improvement_keeps_an_interval_and_ties_count_one_half():
  wins = pooling.improvement([np.arange(3) + 9.0], [np.arange(3.0)])
  assert (wins.mean, wins.high) == (1, 1)
  assert 0.4 < wins.low < 0.7
  tie = pooling.improvement([np.ones(3)], [np.ones(3)])
  assert tie.mean == 0.5
  assert tie.high - 0.5 == pytest.approx(0.5 - tie.low)


def test_intervals_of_tasks_are_combined_as_of_independent_estimates():
  one = ([np.array([1.0, 3, 4])], [np.array([2.0, 0, 2.5])])
  single = pooling.improvement(*one)
  double = pooling.improvement(*(2 * side for side in one))
  assert double.mean == pytest.approx(single.mean)
  assert double.mean - double.low == pytest.approx((single.mean - single.low) / 2**0.5)
  assert double.high - double.mean == pytest.approx(
    (single.high - single.mean) / 2**0.5
  )


def exact_deviation(scores):
  """Return the bootstrap's standard deviation over every possible resample."""
  resamples = [list(itertools.product(task, repeat=len(task))) for task in scores]
  means = [
    stats.trim_mean(np.concatenate(each), 0.25)
    for each in itertools.product(*resamples)
  ]
  return np.std(means)


def test_interval_is_that_of_all_resamples():
  scores = [np.array([0.1, 0.4, 0.5]), np.array([0.3, 0.9, 0.7])]
  found = pooling.pooled(scores)
  half = stats.t.ppf(0.975, 2) * (3 / 2) ** 0.5 * exact_deviation(scores)
  assert found.mean == pytest.approx(stats.trim_mean(np.concatenate(scores), 0.25))
  assert found.high - found.mean == pytest.approx(half, rel=0.05)
  assert found.mean - found.low == pytest.approx(half, rel=0.05)


def test_pooled_scores_depend_on_neither_order_nor_chance():
  scores = [np.array([0.1, 0.4, 0.5]), np.array([0.3, 0.9, 0.7])]
  reordered = [each[::-1] for each in scores]
  assert pooling.pooled(scores) == pooling.pooled(reordered) == pooling.pooled(scores)


def test_one_seed_has_no_interval():
  assert pooling.pooled([np.array([0.1]), np.array([0.2, 0.3])]).low is None


def coverage(found, truth):
  hits = [each.low <= truth <= each.high for each in found]
  return sum(hits) / len(hits)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("kind", NOISE)
def test_interval_of_the_interquartile_mean_contains_the_true_one(
  monkeypatch, kind, seeds
):
  """The percentiles of the same bootstrap would do so less often."""
  monkeypatch.setattr(pooling, "RESAMPLES", 500)
  noise, deviations, least = NOISE[kind]
  rng = np.random.default_rng(seeds)

  def draw(n):
    spread = np.array(deviations)[:, None]
    return np.array([[0.4], [0.6], [0.8]]) + spread * noise(rng, (TASKS, n))

  truth = float(pooling.interquartile_mean(draw(1_000_000).ravel()))
  draws = [draw(seeds) for _ in range(COMPARISONS)]
  share = coverage([pooling.pooled(scores) for scores in draws], truth)
  naive = coverage([percentiles(scores) for scores in draws], truth)
  print(f"{kind}, {seeds} seeds: {share:.1%}; percentiles {naive:.1%}")
  assert share >= least
  assert naive < share - 0.05


def percentiles(scores):
  """Return the usual interval of the bootstrap, from its percentiles."""
  rng = np.random.default_rng(1)
  chosen = rng.integers(scores.shape[1], size=(pooling.RESAMPLES, *scores.shape))
  resampled = scores[np.arange(TASKS)[:, None], chosen]
  means = pooling.interquartile_mean(resampled.reshape(len(chosen), -1))
  low, high = np.quantile(means, [0.025, 0.975])
  return pooling.Interval(0.0, low, high)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_interval_of_the_improvement_contains_the_true_one(shift, seeds):
  """Scores are normal, and the mechanism is better by `shift` standard deviations."""
  rng = np.random.default_rng(seeds)
  truth = float(stats.norm.cdf(shift / 2**0.5))
  draws = rng.normal(size=(COMPARISONS, 2, TASKS, seeds))
  found = [pooling.improvement(list(a + shift), list(b)) for a, b in draws]
  share = coverage(found, truth)
  print(f"{shift} deviations, {seeds} seeds: {share:.1%}")
  assert share >= 0.9
