"""The choice of settings from tuning runs, and what its chance adds to the error of tests.

A choice from a few seeds may miss a mechanism's best settings. Equal mechanisms then
differ, and a test that takes the choices for granted calls them different too often: in up
to 12 % of cases at 5 % (tests/compare/analysis/test_error_rates.py simulates it). So the
variance of what a choice loses is added to that of a difference between two mechanisms.
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

DRAWS = 1_000  # Repetitions of the choice with simulated tuning runs.

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

  The choice is repeated with means of tuning runs that scatter around those observed, as
  far as the spread over seeds, which is pooled over mechanisms, explains. What a seed adds
  to all combinations of a mechanism does not affect the choice, and is left out.

  Args:
    scores: the scores of each mechanism by metric, all on the same data.
    metric: the metric that the choice is made by.
    lower: whether lower is better in this metric.
  """
  noise = _noise([each[metric] for each in scores])
  found = []
  for each in scores:
    means = _means(each[metric], lower)
    chosen = (means + noise * _normal(len(means))).argmin(axis=1)
    found.append(
      {
        key: _square(np.nanmean(np.array(values), axis=1), chosen, int(means.argmin()))
        for key, values in each.items()
        if np.isfinite(np.array(values)).any()
      }
    )
  return found


@functools.cache
def _normal(size: int) -> np.ndarray:
  """Return random numbers [DRAWS, size], always the same."""
  return np.random.default_rng(0).normal(size=(DRAWS, size))


def _square(means: np.ndarray, chosen: np.ndarray, best: int) -> float:
  """Return the mean square of the difference of what is chosen from the best."""
  return float(np.mean((means[chosen] - means[best]) ** 2))


def _means(scores: Scores, lower: bool) -> np.ndarray:
  """Return the mean of each combination over seeds, so that the lowest is the best."""
  means = np.array(scores, np.float64).mean(axis=1)
  return np.where(np.isfinite(means), means if lower else -means, np.inf)


def _noise(scores: Sequence[Scores]) -> float:
  """Return the standard error of a mean over the seeds of tuning."""
  squares, freedom = 0.0, 0
  for each in scores:
    known = np.array([runs for runs in each if np.isfinite(runs).all()])
    if len(known) < 2:
      continue
    residuals = known - known.mean(axis=1, keepdims=True)
    residuals -= residuals.mean(axis=0)
    squares += float((residuals**2).sum())
    freedom += (known.shape[0] - 1) * (known.shape[1] - 1)
  return (squares / freedom / len(scores[0][0])) ** 0.5 if freedom else 0.0
