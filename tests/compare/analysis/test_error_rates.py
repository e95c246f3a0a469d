"""Error rates of 20,000 simulated comparisons are at most the stated level."""

import itertools

import numpy as np
import pytest

from attention_lab.compare.analysis import choice, planning, statistics

stats = pytest.importorskip("scipy.stats")

COMPARISONS = 20_000
ROWS = 2  # Compared with one baseline.
CONFIDENCE = 0.999
ALPHA = 0.05
# Values of rows [comparisons, rows, seeds] that do not differ, by kind.
NOISE = {
  "normal": lambda rng, shape: rng.normal(size=shape),
  "heavy-tailed": lambda rng, shape: rng.standard_t(3, size=shape),
}


# Losses of two mechanisms with three settings, in standard deviations over seeds. The
# mechanisms are equal: each is as good as the other with its best settings.
CURVES = {
  "all settings are equal": ((0, 0, 0), (0, 0, 0)),
  "settings hardly differ": ((0, 0.5, 1), (0, 0.5, 1)),
  "settings differ": ((0, 1, 2), (0, 1, 2)),
  "settings differ much": ((0, 4, 8), (0, 4, 8)),
  "other settings are best": ((0, 1, 2), (2, 1, 0)),
}


def tuned(rng, curves, seeds, correlation):
  """Yield the differences of two mechanisms that were tuned, with their variance.

  Each chooses by two seeds of its own, and runs on others. `correlation` is that of equal
  seeds of the two, as of equal data.
  """
  means, sizes = np.array(curves, np.float64), (COMPARISONS, 2, 3)
  own, shared = (1 - correlation) ** 0.5, correlation**0.5
  trials = own * rng.normal(size=(*sizes, 2)) + means[..., None]
  trials += shared * rng.normal(size=(COMPARISONS, 1, 1, 2))
  finals = own * rng.normal(size=(*sizes, seeds)) + means[..., None]
  finals += shared * rng.normal(size=(COMPARISONS, 1, 1, seeds))
  for tuning, final in zip(trials, finals, strict=True):
    chosen = [choice.best(scores, lower=True) for scores in tuning]
    found = choice.losses([{"loss": scores} for scores in tuning], "loss", lower=True)
    one, other = (dict(enumerate(final[i][chosen[i]])) for i in (0, 1))
    yield one, other, sum(each["loss"] for each in found)


# Curves, correlation and seeds for which most are wrong without the variance.
WORST = ("settings hardly differ", 0.7, 5), ("settings differ", 0, 5)


@pytest.mark.parametrize(
  ("curves", "correlation", "seeds"),
  [
    pytest.param(*case, marks=() if case in WORST else pytest.mark.statistics_full)
    for case in itertools.product(CURVES, (0, 0.7), (3, 5))
  ],
)
def test_tuned_mechanisms_that_are_equal_are_called_so(curves, correlation, seeds):
  rng = np.random.default_rng(seeds)
  wrong = naive = 0
  for one, other, variance in tuned(rng, CURVES[curves], seeds, correlation):
    wrong += statistics.paired(one, other, variance).p < ALPHA
    naive += statistics.paired(one, other).p < ALPHA
  rates = f"{wrong / COMPARISONS:.2%}, {naive / COMPARISONS:.2%} without the variance"
  print(f"{curves}, correlation {correlation}, {seeds} seeds: {rates}")
  assert wrong <= stats.binom.ppf(CONFIDENCE, COMPARISONS, ALPHA)
  if (curves, correlation, seeds) in WORST:
    assert naive > 2 * ALPHA * COMPARISONS
  if curves == "settings differ much":  # The choice is certain: nothing is lost.
    assert wrong == pytest.approx(naive, rel=0.2)


def any_significant(values):
  """Return the share of comparisons in which a row differs from the first, by Holm."""
  wrong = 0
  for rows in values:
    baseline, *others = (dict(enumerate(row)) for row in rows)
    p_values = [statistics.paired(row, baseline).p for row in others]
    wrong += min(statistics.holm(p_values)) < ALPHA
  return wrong


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("kind", NOISE)
def test_equal_rows_are_called_different_in_at_most_one_of_twenty(kind, seeds):
  rng = np.random.default_rng(seeds)
  values = NOISE[kind](rng, (COMPARISONS, 1 + ROWS, seeds))
  wrong = any_significant(values)
  print(f"{kind}, {seeds} seeds: {wrong / COMPARISONS:.2%}")
  assert wrong <= stats.binom.ppf(CONFIDENCE, COMPARISONS, ALPHA)


def test_tuning_the_new_mechanism_alone_is_an_error_that_the_test_finds():
  """If only the new mechanism is tuned, equal mechanisms are called different."""
  rng = np.random.default_rng(0)
  settings = np.array([1.0, 0.0, 2.0])  # Loss of each, the same for both mechanisms.
  finals = settings[:, None] + 0.5 * rng.normal(size=(2_000, 2, 3, 3))
  values = np.stack([finals[:, 0, 0], finals[:, 1, 1]], axis=1)
  assert any_significant(values) > 0.25 * len(values)


def test_a_difference_of_two_deviations_is_found_as_theory_says():
  rng = np.random.default_rng(1)
  values = rng.normal(size=(COMPARISONS, 2, 5)) / 2**0.5
  values[:, 1] += 2.0
  expected = planning.power(2.0, 5)
  low, high = stats.binom.interval(CONFIDENCE, COMPARISONS, expected)
  assert low <= any_significant(values) <= high


def test_rows_that_differ_by_the_margin_are_called_equal_in_at_most_one_of_twenty():
  rng = np.random.default_rng(2)
  wrong = 0
  for _ in range(COMPARISONS):
    values = dict(enumerate(1.0 + 0.3 * rng.normal(size=5)))
    pair = statistics.paired(values, dict.fromkeys(values, 0.0))
    wrong += statistics.equal_within(pair, 1.0) < ALPHA
  assert wrong <= stats.binom.ppf(CONFIDENCE, COMPARISONS, ALPHA)


def test_looks_at_growing_numbers_of_seeds_keep_the_level():
  """Looks at 3, 5 and 8 seeds; the first that is significant would have been reported."""
  rng = np.random.default_rng(3)
  wrong = uncorrected = 0
  for values in rng.normal(size=(COMPARISONS // 2, 8)):
    p_values = [
      statistics.paired(dict(enumerate(values[:n])), dict.fromkeys(range(n), 0.0)).p
      for n in (3, 5, 8)
    ]
    wrong += any(
      statistics.over_looks(p, look) < ALPHA
      for look, p in enumerate(p_values[1:], start=2)
    )
    uncorrected += min(p_values) < ALPHA
  assert wrong <= stats.binom.ppf(CONFIDENCE, COMPARISONS // 2, ALPHA)
  assert uncorrected > 1.5 * ALPHA * COMPARISONS // 2
