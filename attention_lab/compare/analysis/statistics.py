"""Statistics over seeds: t intervals, paired t-tests, Holm's correction and power.

All tests use Student's t distribution (Student, "The probable error of a mean",
Biometrika 6, 1908), for means of few, approximately normal values of unknown variance.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from attention_lab.errors import UserError

MOST_SEEDS = 10_000  # The largest answer of `seeds_needed`.
NODES = 200  # Nodes of the quadrature in `power`; they give 5 correct digits.
# Relative range of equal differences, from rounding in the subtraction.
_ROUNDING = 8 * np.finfo(np.float64).eps


class Interval(NamedTuple):
  """A mean and its confidence interval."""

  mean: float
  low: float | None  # Lower end; None for one value.
  high: float | None


class Paired(NamedTuple):
  """Mean of a row's values minus the baseline's, over the seeds of both."""

  mean: float
  low: float | None  # Lower end of the 95 % interval; None for one seed.
  high: float | None
  sd: float | None  # Standard deviation (denominator n - 1); None for one seed.
  p: float | None  # Two-sided p-value; None for one seed.
  seeds: int  # Number of pairs.


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
  """Return the mean of independent values with its t interval.

  Args:
    values: one or more values.
    level: probability that such an interval contains the true mean.
  """
  array = np.asarray(values, np.float64)
  mean, sd = _moments(array, np.abs(array).max())
  if len(array) < 2:
    return Interval(mean, None, None)
  half = _quantile(0.5 + level / 2, len(array) - 1) * sd / len(array) ** 0.5
  return Interval(mean, mean - half, mean + half)


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> Paired | None:
  """Return the mean difference from a baseline, paired by seed, with a paired t-test.

  The t-test is undefined for differences that are all equal, up to rounding: then p is 1
  if they are 0, and 0 otherwise.

  Args:
    values: a row's values by seed.
    baseline: the baseline's values by seed.

  Returns:
    The difference; None if no seed has both values.
  """
  seeds = sorted(values.keys() & baseline.keys())
  if not seeds:
    return None
  row, base = (np.array([side[s] for s in seeds]) for side in (values, baseline))
  size = float(max(np.abs(row).max(), np.abs(base).max()))
  mean, sd = _moments(row - base, size)
  n = len(seeds)
  if n < 2:
    return Paired(mean, None, None, None, None, n)
  error = sd / n**0.5
  half = _quantile(0.975, n - 1) * error
  p = _two_sided(mean, error, n - 1)
  return Paired(mean, mean - half, mean + half, sd, p, n)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
  """Correct p-values for multiple tests by Holm's step-down method ("A simple
  sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6,
  1979).

  If all corrected values below α are called significant, the probability of any false
  call is at most α, for any dependence between the tests. None marks a test that was not
  made: it stays None and does not count.
  """
  tested = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
  corrected: list[float | None] = [None] * len(p_values)
  least = 0.0
  for rank, (p, i) in enumerate(tested):
    least = max(least, min(1.0, (len(tested) - rank) * p))
    corrected[i] = least
  return corrected


def power(effect: float, n: int, alpha: float = 0.05) -> float:
  """Return the power of the two-sided paired t-test, from the noncentral t distribution
  (Cohen, "Statistical power analysis for the behavioral sciences", 1988).

  Args:
    effect: the true mean difference in standard deviations of the differences.
    n: number of seeds, 2 or more.
    alpha: significance level.
  """
  stats, freedom = _stats(), n - 1
  edge, shift = _quantile(1 - alpha / 2, freedom), abs(effect) * n**0.5
  # t = (z + shift) / s with z normal and s² = χ² / freedom. The power is the mean over s
  # of P(|z + shift| > edge · s). scipy's noncentral t returns NaN for some arguments.
  nodes, weights = _legendre()
  s = np.sqrt(stats.chi2.ppf((nodes + 1) / 2, freedom) / freedom)
  beyond = stats.norm.cdf(shift - edge * s) + stats.norm.cdf(-shift - edge * s)
  return float(weights @ beyond / 2)


def seeds_needed(
  difference: float, sd: float, wanted: float = 0.8, alpha: float = 0.05
) -> int | None:
  """Return the smallest number of seeds that gives the paired t-test the wanted power.

  Args:
    difference: the true mean difference.
    sd: standard deviation of the differences.
    wanted: the power, a probability.
    alpha: significance level.

  Returns:
    The number of seeds; None if `MOST_SEEDS` are too few.
  """
  if sd == 0:
    return 2 if difference else None
  if power(difference / sd, MOST_SEEDS, alpha) < wanted:
    return None
  low, high = 1, MOST_SEEDS  # Too few, and enough: the power increases with the seeds.
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
  """Return mean and standard deviation; the latter is exactly 0 if the values differ by
  no more than the rounding error of numbers of magnitude `size`."""
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
    raise UserError("--mode=compare needs scipy: pip install -e '.[compare]'") from None
  return stats
