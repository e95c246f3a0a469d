"""Statistics of a few seeds: intervals, paired differences, many rows, seeds needed.

Everything is Student's t (Student, "The probable error of a mean", Biometrika 6, 1908):
means of a few values that are about normal, whose spread is not known.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from attention_lab.errors import UserError

MOST_SEEDS = 10_000  # More than these are nobody's plan.
NODES = 200  # Of the integral for the power: right to 5 digits.
_ROUNDING = (
  8 * np.finfo(np.float64).eps
)  # Spread, by size, that subtracting alone makes.


class Interval(NamedTuple):
  """A mean, and where it lies at a level of confidence."""

  mean: float
  low: float | None  # None with one value.
  high: float | None


class Paired(NamedTuple):
  """Values less the baseline's over the same seeds."""

  mean: float
  low: float | None  # Of the 95 % interval; None with one seed.
  high: float | None
  sd: float | None  # Of the differences (n - 1 in the denominator); None with one seed.
  p: float | None  # Two-sided; None with one seed.
  seeds: int


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
  """The mean of independent values with its t interval.

  Args:
    values: one or more.
    level: how often such an interval holds the true mean.
  """
  array = np.asarray(values, np.float64)
  mean, sd = _moments(array, np.abs(array).max())
  if len(array) < 2:
    return Interval(mean, None, None)
  half = _quantile(0.5 + level / 2, len(array) - 1) * sd / len(array) ** 0.5
  return Interval(mean, mean - half, mean + half)


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> Paired | None:
  """The difference to a baseline over the seeds that both have; None if there are none.

  The p-value is that of the paired t-test. Differences that are all the same have no
  spread to measure it by: p is 1 where they are 0, and 0 where they are not. Differences
  that differ by no more than rounding are the same.

  Args:
    values: by seed.
    baseline: by seed.
  """
  seeds = sorted(values.keys() & baseline.keys())
  if not seeds:
    return None
  here, there = (np.array([side[s] for s in seeds]) for side in (values, baseline))
  size = float(max(np.abs(here).max(), np.abs(there).max()))
  mean, sd = _moments(here - there, size)
  n = len(seeds)
  if n < 2:
    return Paired(mean, None, None, None, None, n)
  error = sd / n**0.5
  half = _quantile(0.975, n - 1) * error
  p = _two_sided(mean, error, n - 1)
  return Paired(mean, mean - half, mean + half, sd, p, n)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
  """p-values corrected for how many they are, by steps down (Holm, "A simple sequentially
  rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979).

  Called significant below α, they contain any false call with a chance of at most α,
  however the tests depend on each other. None, for what was not tested, stays None and
  does not count.
  """
  tested = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
  corrected: list[float | None] = [None] * len(p_values)
  least = 0.0
  for rank, (p, i) in enumerate(tested):
    least = max(least, min(1.0, (len(tested) - rank) * p))
    corrected[i] = least
  return corrected


def power(effect: float, n: int, alpha: float = 0.05) -> float:
  """How often the two-sided paired t-test finds a true difference, by the noncentral t
  distribution (Cohen, "Statistical power analysis for the behavioral sciences", 1988).

  Args:
    effect: the true mean difference in standard deviations of the differences.
    n: seeds, 2 or more.
    alpha: below which a p-value is a find.
  """
  stats, freedom = _stats(), n - 1
  edge, shift = _quantile(1 - alpha / 2, freedom), abs(effect) * n**0.5
  # t = (z + shift) / s, whose s is the root of a χ² over its degrees of freedom: the mean
  # over s of the normal's share beyond the edge. (scipy's noncentral t has gaps.)
  nodes, weights = _legendre()
  s = np.sqrt(stats.chi2.ppf((nodes + 1) / 2, freedom) / freedom)
  beyond = stats.norm.cdf(shift - edge * s) + stats.norm.cdf(-shift - edge * s)
  return float(weights @ beyond / 2)


def seeds_needed(
  difference: float, sd: float, wanted: float = 0.8, alpha: float = 0.05
) -> int | None:
  """The least number of seeds with which the paired t-test finds a true difference at
  least as often as wanted; None if MOST_SEEDS are too few.

  Args:
    difference: the true mean difference.
    sd: the standard deviation of the differences.
    wanted: how often it is to be found.
    alpha: below which a p-value is a find.
  """
  if sd == 0:
    return 2 if difference else None
  if power(difference / sd, MOST_SEEDS, alpha) < wanted:
    return None
  low, high = 1, MOST_SEEDS  # Too few, and enough: more seeds never find less.
  while high - low > 1:
    middle = (low + high) // 2
    enough = power(difference / sd, middle, alpha) >= wanted
    low, high = (low, middle) if enough else (middle, high)
  return high


@functools.cache
def _legendre() -> tuple[np.ndarray, np.ndarray]:
  nodes, weights = np.polynomial.legendre.leggauss(NODES)
  return nodes, weights


def _moments(array: np.ndarray, size: float) -> tuple[float, float]:
  """Mean and standard deviation, which is exactly 0 where values of this size differ by
  rounding alone; 0 too of a single value."""
  if np.ptp(array) <= _ROUNDING * size:
    middle = float(np.median(array))
    return (middle if abs(middle) > _ROUNDING * size else 0.0), 0.0
  return float(array.mean()), float(array.std(ddof=1))


def _two_sided(mean: float, error: float, freedom: int) -> float:
  if error == 0:
    return 0.0 if mean else 1.0
  return float(2 * _stats().t.sf(abs(mean) / error, freedom))


def _quantile(share: float, freedom: int) -> float:
  return float(_stats().t.ppf(share, freedom))


def _stats() -> Any:
  try:
    from scipy import stats
  except ImportError:
    raise UserError(
      "Comparing needs scipy, for its statistics: pip install -e '.[compare]'"
    ) from None
  return stats
