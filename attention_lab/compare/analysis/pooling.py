"""Statistics of scores over several tasks: interquartile mean, probability of improvement.

Both are those of Agarwal et al., "Deep reinforcement learning at the edge of the
statistical precipice" (arXiv:2108.13264). Their intervals are not the percentiles of the
bootstrap, which are too narrow for a few seeds: see docs/measurements/comparisons.md.
"""

from collections.abc import Sequence

import numpy as np

from attention_lab.compare.analysis.statistics import Interval, quantile

RESAMPLES = 2_000
CUT = 0.25  # Share of the scores that is left out at either end.
_NORMAL = 1.959963984540054  # Quantile of the normal distribution for 95 %.

Scores = Sequence[np.ndarray]  # For each task, a score per seed.


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
  """Return the mean of the middle half of the scores [..., N] → [...]."""
  ordered = np.sort(scores, axis=-1)
  cut = int(CUT * ordered.shape[-1])
  return np.asarray(ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1))


def pooled(scores: Scores) -> Interval:
  """Return the interquartile mean of all tasks' scores, with a 95 % interval.

  The interval is mean ± t · s · √(n / (n − 1)): s is the standard deviation of the
  stratified bootstrap, which resamples the n seeds within each task; √(n / (n − 1))
  corrects its bias, and t is the quantile of Student's t for n − 1 degrees of freedom.
  Where tasks have different numbers of seeds, n is the smallest.
  """
  mean = float(interquartile_mean(np.concatenate(scores)))
  n = min(map(len, scores))
  if n < 2:
    return Interval(mean, None, None)
  rng = np.random.default_rng(0)  # Equal results give equal reports.
  resampled = [
    np.sort(s)[rng.integers(len(s), size=(RESAMPLES, len(s)))] for s in scores
  ]
  deviation = float(interquartile_mean(np.concatenate(resampled, axis=-1)).std())
  half = quantile(0.975, n - 1) * deviation * (n / (n - 1)) ** 0.5
  return Interval(mean, mean - half, mean + half)


def improvement(scores: Scores, baseline: Scores) -> Interval:
  """Return the probability that a run scores higher than one of the baseline.

  It is the mean over tasks of the Mann–Whitney estimate, where ties count ½. The 95 %
  interval of a task is the method 5 of Newcombe, "Confidence intervals for an effect size
  measure based on the Mann–Whitney statistic. Part 2" (Statistics in Medicine 25, 2006),
  which has a width even at 0 and 1. Those of tasks are combined as of independent
  estimates (Zou and Donner, Statistics in Medicine 27, 2008).

  Args:
    scores: the scores of a mechanism by task.
    baseline: those of the baseline, on the same tasks.
  """
  found = [_of_task(s, b) for s, b in zip(scores, baseline, strict=True)]
  mean, low, high = np.array(found).T
  reach = [float(np.sqrt(((end - mean) ** 2).sum())) / len(mean) for end in (low, high)]
  center = float(mean.mean())
  return Interval(center, center - reach[0], center + reach[1])


def _of_task(scores: np.ndarray, baseline: np.ndarray) -> tuple[float, float, float]:
  """Return the probability of improvement on one task, with its interval."""
  gaps = np.subtract.outer(scores, baseline)
  share = float((gaps > 0).mean() + (gaps == 0).mean() / 2)
  sizes = len(scores), len(baseline)
  return share, _edge(share, 0.0, sizes), _edge(share, 1.0, sizes)


def _edge(share: float, end: float, sizes: tuple[int, int]) -> float:
  """Return the probability towards `end` from which an estimate is as far as 95 % reach."""
  inner, outer = share, end
  for _ in range(50):
    middle = (inner + outer) / 2
    plausible = abs(share - middle) <= _NORMAL * _variance(middle, sizes) ** 0.5
    inner, outer = (middle, outer) if plausible else (inner, middle)
  return inner


def _variance(share: float, sizes: tuple[int, int]) -> float:
  """Return the variance of the Mann–Whitney estimate of a probability."""
  m, n = sizes
  others = (m + n) / 2 - 1
  inner = 1 + others * ((1 - share) / (2 - share) + share / (1 + share))
  return share * (1 - share) * inner / (m * n)
