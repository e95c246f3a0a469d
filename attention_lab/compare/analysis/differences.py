"""Differences of rows from the rows that they are compared with, and verdicts."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from attention_lab.compare.analysis.measures import BITS, METRICS, Metric
from attention_lab.compare.analysis.pairs import Pair, families
from attention_lab.compare.analysis.planning import Needed, needed
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.statistics import (
  Paired,
  equal_within,
  holm,
  over_looks,
  paired,
  spread,
)
from attention_lab.compare.analysis.tuning import lost_by_choices

ALPHA = 0.05  # Significance level of corrected p-values.
DEFAULT_MARGIN = "50%"
Verdict = Literal[
  "better",
  "worse",
  "smaller than the margin",  # Significant, and too small to matter.
  "equal within the margin",
  "no significant difference",
  "one seed",
]

Figures = Mapping[int, Mapping[str, float]]  # Finished seed → metric key → value.


class Difference(NamedTuple):
  """A row's metric minus another row's, over the seeds that finished in both."""

  mean: float
  low: float | None  # Lower end of the uncorrected 95 % interval; None for one seed.
  high: float | None
  p: float | None  # p-value of the two-sided paired t-test; None for one seed.
  p_holm: float | None  # `p` corrected for looks and for the tests of the family.
  verdict: Verdict  # Follows from `p_holm`, `p_equal`, `margin` and `ALPHA`.
  seeds: int  # Number of seeds that finished in both rows.
  # Seeds for a power of 80 % at the strictest level of Holm's method, `ALPHA` / tests, if
  # this is the true difference; None for one seed.
  needed: Needed | None
  tests: int  # Number of comparisons in the family, which are corrected together.
  margin: float | None = None  # Largest difference that does not matter; None: unknown.
  p_equal: float | None = None  # Corrected p-value of the equivalence test.


def select(key: str, by_seed: Figures) -> dict[int, float]:
  """Return one metric by seed."""
  return {seed: found[key] for seed, found in by_seed.items() if key in found}


def differences(
  comparison: Comparison,
  compared: Mapping[str, Sequence[str]],
  by_row: Mapping[str, Figures],
  primary: Mapping[str, str],
) -> dict[Pair, dict[str, Difference]]:
  """Return the differences of each pair of rows by metric key, for tested metrics.

  Args:
    comparison: the comparison.
    compared: row → the rows that it is compared with.
    by_row: row → its figures.
    primary: row → the key of the metric that its dataset is judged by.
  """
  found: dict[Pair, dict[str, Difference]] = {}
  lost = lost_by_choices(comparison)
  for metric in METRICS.values():
    variances = {name: lost.get(name, {}).get(metric.key, 0.0) for name in by_row}
    for pairs in families(comparison, compared):
      margins = {
        pair: _margin(comparison, metric.key == primary[pair[0]])
        for pair in pairs
        if _is_tested(metric, primary[pair[0]])
      }
      for pair, difference in _of_family(
        metric, by_row, variances, margins, max(1, len(comparison.looks))
      ).items():
        found.setdefault(pair, {})[metric.key] = difference
  return found


def _is_tested(metric: Metric, primary: str) -> bool:
  """Return whether a metric of rows that are judged by another or the same is tested."""
  return metric.key == BITS if primary == BITS else metric.tested


def _margin(comparison: Comparison, is_primary: bool) -> float | str:
  """Return the margin of a metric: a number, or a share of the spread such as "50%"."""
  if comparison.margin.endswith("%"):
    return comparison.margin
  return float(comparison.margin) if is_primary else DEFAULT_MARGIN


def _of_family(
  metric: Metric,
  by_row: Mapping[str, Figures],
  variances: Mapping[str, float],
  margins: Mapping[Pair, float | str],
  looks: int,
) -> dict[Pair, Difference]:
  """Return the difference of each pair of a family that can be compared.

  Args:
    metric: the metric.
    by_row: the figures of each row.
    variances: row → variance of its mean that is not from its seeds.
    margins: pair → its margin: a number, or a share of the spread over seeds.
    looks: number of looks at the results.
  """
  values = {name: select(metric.key, found) for name, found in by_row.items()}
  paired_by = {
    (name, other): paired(
      values[name], values[other], variances[name] + variances[other]
    )
    for name, other in margins
  }
  found = {pair: known for pair, known in paired_by.items() if known is not None}
  sizes = {
    pair: _size(margins[pair], *(values[name] for name in pair)) for pair in found
  }
  corrected = _corrected({pair: known.p for pair, known in found.items()}, looks)
  equal = _corrected(
    {pair: _equal(known, sizes[pair]) for pair, known in found.items()}, looks
  )
  tests = sum(known.p is not None for known in found.values())
  return {
    pair: _difference(metric, known, corrected[pair], sizes[pair], equal[pair], tests)
    for pair, known in found.items()
  }


def _size(
  margin: float | str, values: Mapping[int, float], others: Mapping[int, float]
) -> float | None:
  """Return a margin in the metric's unit; None if a share of an unknown spread."""
  if not isinstance(margin, str):
    return margin
  sd = spread(list(values.values()), list(others.values()))
  return None if sd is None else float(margin.removesuffix("%")) / 100 * sd


def _equal(pair: Paired, margin: float | None) -> float | None:
  return equal_within(pair, margin) if margin else None


def _corrected(
  p_values: Mapping[Pair, float | None], looks: int
) -> dict[Pair, float | None]:
  """Return p-values corrected for looks and, by Holm, for their number."""
  over = [None if p is None else over_looks(p, looks) for p in p_values.values()]
  return dict(zip(p_values, holm(over), strict=True))


def _difference(
  metric: Metric,
  pair: Paired,
  corrected: float | None,
  margin: float | None,
  equal: float | None,
  tests: int,
) -> Difference:
  low, high = pair.low, pair.high
  if metric.interval == "logit" and low is not None and high is not None:
    low, high = max(low, -1.0), min(high, 1.0)  # Fractions cannot differ by more.
  return Difference(
    *(pair.mean, low, high, pair.p, corrected),
    verdict=_verdict(metric, pair.mean, corrected, margin, equal),
    seeds=pair.seeds,
    needed=needed(pair, alpha=ALPHA / max(1, tests)),
    tests=tests,
    margin=margin,
    p_equal=equal,
  )


def _verdict(
  metric: Metric,
  mean: float,
  corrected: float | None,
  margin: float | None,
  equal: float | None,
) -> Verdict:
  if corrected is None:
    return "one seed"
  if corrected < ALPHA:
    if abs(mean) < (margin or 0.0):
      return "smaller than the margin"
    return "better" if (mean > 0) == (metric.better == "higher") else "worse"
  if equal is not None and equal < ALPHA:
    return "equal within the margin"
  return "no significant difference"
