"""Planning: the power of the paired t-test, and the seeds that it needs."""

import functools
from typing import NamedTuple

import numpy as np

from attention_lab.compare.analysis.statistics import Paired, quantile, special

MOST_SEEDS = 10_000  # The largest answer of `seeds_needed`.
NODES = 200  # Nodes of the quadrature in `power`; they give 5 correct digits.
LEVEL = 0.8  # Probability that the range of the seeds needed contains the true number.


class Needed(NamedTuple):
  """Number of seeds for a test of the wanted power; None is more than `MOST_SEEDS`."""

  seeds: int | None  # If the true effect is the observed one.
  low: int | None  # If it is the largest that the observation leaves plausible.
  high: int | None  # If it is the smallest; None, too, if it may be 0.


def power(effect: float, n: int, alpha: float = 0.05) -> float:
  """Return the power of the two-sided paired t-test, from the noncentral t distribution
  (Cohen, "Statistical power analysis for the behavioral sciences", 1988).

  Args:
    effect: the true mean difference in standard deviations of the differences.
    n: number of seeds, 2 or more.
    alpha: significance level.
  """
  freedom = n - 1
  edge, shift = quantile(1 - alpha / 2, freedom), abs(effect) * n**0.5
  # t = (z + shift) / s with z normal and s² = χ² / freedom. The power is the mean over s
  # of P(|z + shift| > edge · s). scipy's noncentral t returns NaN for some arguments.
  _, weights = _legendre()
  s = _spreads(freedom)
  beyond = special().ndtr(shift - edge * s) + special().ndtr(-shift - edge * s)
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


def needed(pair: Paired, wanted: float = 0.8, alpha: float = 0.05) -> Needed | None:
  """Return the seeds that a test needs, with their uncertainty; None for one seed.

  The plausible effects are the ends of its interval from the noncentral t distribution,
  at the level `LEVEL`.
  """
  if pair.sd is None:
    return None
  seeds = seeds_needed(pair.mean, pair.sd, wanted, alpha)
  if pair.sd == 0:
    return Needed(seeds, seeds, seeds)
  effect = abs(pair.mean) / pair.sd
  largest = _effect_at(effect, pair.seeds, (1 - LEVEL) / 2)
  smallest = _effect_at(effect, pair.seeds, (1 + LEVEL) / 2)
  low = seeds_needed(largest, 1.0, wanted, alpha)
  high = seeds_needed(smallest, 1.0, wanted, alpha) if smallest > 0 else None
  return Needed(seeds, low, high)


def _effect_at(observed: float, n: int, share: float) -> float:
  """Return the true effect at which a share of the samples have a smaller observed one.

  It is 0 if that holds for no positive effect.
  """
  if _share_below(observed, 0.0, n) <= share:
    return 0.0
  low, high = 0.0, observed + 1.0
  while _share_below(observed, high, n) > share:
    high *= 2
  for _ in range(40):
    middle = (low + high) / 2
    low, high = (
      (middle, high) if _share_below(observed, middle, n) > share else (low, middle)
    )
  return high


def _share_below(observed: float, effect: float, n: int) -> float:
  """Return the probability that n values show less than `observed` times their spread."""
  _, weights = _legendre()
  s = _spreads(n - 1)
  return float(weights @ special().ndtr((observed * s - effect) * n**0.5) / 2)


@functools.cache
def _legendre() -> tuple[np.ndarray, np.ndarray]:
  nodes, weights = np.polynomial.legendre.leggauss(NODES)
  return nodes, weights


def _spreads(freedom: int) -> np.ndarray:
  """Return the quantiles at the nodes of an observed spread over the true one."""
  shares = (_legendre()[0] + 1) / 2
  return np.asarray(np.sqrt(special().chdtri(freedom, 1 - shares) / freedom))
