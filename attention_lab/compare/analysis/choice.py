"""The choice of settings from tuning runs, and what its chance adds to the error of tests.

A choice from a few seeds may miss a mechanism's best settings. Equal mechanisms then
differ, and a test that takes the choices for granted calls them different too often: in up
to 12 % of cases at 5 % (tests/compare/analysis/test_error_rates.py simulates it). So the
mean square of what a choice loses is added to the variance of a difference.
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

REPETITIONS = 1_000  # Of the simulated true means.

# Combination of values → its tuning runs by seed → a metric; NaN where a run failed.
Scores = Sequence[Sequence[float]]


def best(scores: Scores, lower: bool) -> int:
  """Return the index of the best combination, the first if all have failed.

  Args:
    scores: the metric that the dataset is judged by.
    lower: whether lower is better.
  """
  return int(_means(scores, lower).argmin())


def losses(
  scores: Sequence[Mapping[str, Scores]], metric: str, lower: bool
) -> list[dict[str, float]]:
  """Return the mean square of what the choice of each mechanism loses, by metric.

  The true means of its combinations are taken to scatter around the observed ones, as far
  as the spread over seeds explains, which is pooled over mechanisms for each combination.
  What the choice loses is the difference of its true mean from the best one. In other
  metrics it is as large, in units of their spread over seeds.

  Args:
    scores: the scores of each mechanism by metric, all on the same data.
    metric: the metric that the choice is made by.
    lower: whether lower is better in this metric.
  """
  spreads = {key: _spreads([each[key] for each in scores]) for key in scores[0]}
  seeds = len(scores[0][metric][0])
  unit = _pooled(spreads[metric])
  found = []
  for each in scores:
    means = _means(each[metric], lower)
    scatter = np.nan_to_num(spreads[metric]) / seeds**0.5 * _normal(len(means))
    true = means + scatter
    lost = true[:, means.argmin()] - true.min(axis=1) if np.isfinite(means).any() else 0
    square = float(np.mean(np.square(lost)))
    found.append(
      {
        key: square * (_pooled(spread) / unit) ** 2 if unit else 0.0
        for key, spread in spreads.items()
      }
    )
  return found


@functools.cache
def _normal(size: int) -> np.ndarray:
  """Return random numbers [REPETITIONS, size], always the same."""
  return np.random.default_rng(0).normal(size=(REPETITIONS, size))


def _means(scores: Scores, lower: bool) -> np.ndarray:
  """Return the mean of each combination over seeds, so that the lowest is the best."""
  means = np.array(scores, np.float64).mean(axis=1)
  return np.where(np.isfinite(means), means if lower else -means, np.inf)


def _spreads(scores: Sequence[Scores]) -> np.ndarray:
  """Return the standard deviation over seeds of each combination, over all mechanisms.

  It is NaN for a combination with a failed run in every mechanism.
  """
  variances = np.array(scores, np.float64).var(
    axis=2, ddof=1
  )  # [mechanisms, combinations]
  known = np.isfinite(variances)
  total = np.where(known, variances, 0.0).sum(axis=0)
  with np.errstate(invalid="ignore"):
    spreads: np.ndarray = np.sqrt(total / known.sum(axis=0))
  return spreads


def _pooled(spreads: np.ndarray) -> float:
  """Return the root mean square of the spreads that are known; 0 if none is."""
  known = spreads[np.isfinite(spreads)]
  return float(np.sqrt(np.mean(known**2))) if len(known) else 0.0
