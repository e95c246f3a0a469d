"""Statistics over seeds: t intervals, paired t-tests, equivalence and corrections.

All tests use Student's t distribution (Student, "The probable error of a mean",
Biometrika 6, 1908), for means of few, approximately normal values of unknown variance.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from attention_lab.errors import not_installed

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
  # Standard deviation over seeds (denominator n - 1), with the variance that was added;
  # None for one seed.
  sd: float | None
  p: float | None  # Two-sided p-value; None for one seed.
  seeds: int  # Number of pairs.


Scale = Literal["linear", "log", "logit"]


def interval(
  values: Sequence[float], level: float = 0.95, scale: Scale = "linear"
) -> Interval:
  """Return the mean of independent values with its t interval.

  On another scale than "linear", the interval is that of the transformed mean, by the
  delta method, transformed back: it stays above 0 ("log"), or between 0 and 1 ("logit").

  Args:
    values: one or more values.
    level: probability that such an interval contains the true mean.
    scale: scale on which the interval is symmetric.
  """
  array = np.asarray(values, np.float64)
  mean, sd = _moments(array, np.abs(array).max())
  if len(array) < 2:
    return Interval(mean, None, None)
  half = quantile(0.5 + level / 2, len(array) - 1) * sd / len(array) ** 0.5
  if half == 0 or scale == "linear":
    return Interval(mean, mean - half, mean + half)
  if scale == "log" and mean > 0:
    factor = np.exp(half / mean)
    return Interval(mean, float(mean / factor), float(mean * factor))
  if scale == "logit" and 0 < mean < 1:
    odds, factor = mean / (1 - mean), np.exp(half / (mean * (1 - mean)))
    ends = odds / factor, odds * factor
    low, high = (float(end / (1 + end)) if np.isfinite(end) else 1.0 for end in ends)
    return Interval(mean, low, high)
  return Interval(mean, mean - half, mean + half)


def paired(
  values: Mapping[int, float], baseline: Mapping[int, float], variance: float = 0.0
) -> Paired | None:
  """Return the mean difference from a baseline, paired by seed, with a paired t-test.

  The t-test is undefined for differences that are all equal, up to rounding: then p is 1
  if they are 0, and 0 otherwise.

  Args:
    values: a row's values by seed.
    baseline: the baseline's values by seed.
    variance: of the mean difference, beyond that from the seeds.

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
  sd = (sd**2 + n * variance) ** 0.5
  error = sd / n**0.5
  half = quantile(0.975, n - 1) * error
  p = _two_sided(mean, error, n - 1)
  return Paired(mean, mean - half, mean + half, sd, p, n)


def equal_within(pair: Paired, margin: float) -> float | None:
  """Return the p-value of two one-sided t-tests: how sure the difference is below a margin.

  The hypothesis that is tested is a true difference of at least the margin, on either side
  (Schuirmann, "A comparison of the two one-sided tests procedure and the power approach",
  Journal of Pharmacokinetics and Biopharmaceutics 15, 1987).

  Args:
    pair: the difference.
    margin: largest difference that does not matter, above 0.

  Returns:
    The p-value; None for one seed.
  """
  if pair.sd is None:
    return None
  error = pair.sd / pair.seeds**0.5
  room = margin - abs(pair.mean)
  if error == 0:
    return 0.0 if room > 0 else 1.0
  return _above(room / error, pair.seeds - 1)


def spread(*samples: Sequence[float]) -> float | None:
  """Return the pooled standard deviation within samples; None if each has one value."""
  freedom = sum(len(sample) - 1 for sample in samples)
  if freedom < 1:
    return None
  squares = sum(float(np.var(sample) * len(sample)) for sample in samples)
  return float((squares / freedom) ** 0.5)


def over_looks(p: float, looks: int) -> float:
  """Return a p-value that holds although earlier looks at fewer seeds decided to go on.

  The k-th look is tested at level α / (k (k + 1)); over any number of looks, these levels
  sum to α. A single look, at the number of seeds that was planned, needs no correction.

  Args:
    p: p-value at the last look.
    looks: number of looks.
  """
  return p if looks == 1 else min(1.0, looks * (looks + 1) * p)


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
  return 2 * _above(abs(mean) / error, freedom)


def quantile(share: float, freedom: int) -> float:
  """Return a quantile of Student's t distribution."""
  return float(special().stdtrit(freedom, share))


def _above(t: float, freedom: int) -> float:
  """Return the probability that Student's t exceeds a value."""
  return float(special().stdtr(freedom, -t))


def special() -> Any:
  """Return `scipy.special`, whose functions are faster than those of `scipy.stats`.

  Raises:
    UserError: scipy is not installed.
  """
  try:
    from scipy import special
  except ImportError:
    raise not_installed("--mode=compare", "compare", "scipy") from None
  return special
