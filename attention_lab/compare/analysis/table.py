"""The results of every row: estimates, differences from the baseline and verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from attention_lab.compare.analysis.measures import (
  METRICS,
  Metric,
  cost_figures,
  figures,
  is_checked,
)
from attention_lab.compare.analysis.pairs import baselines, families
from attention_lab.compare.analysis.planning import Needed, needed
from attention_lab.compare.analysis.record import Comparison, Row, Run
from attention_lab.compare.analysis.statistics import (
  Paired,
  equal_within,
  holm,
  interval,
  over_looks,
  paired,
  spread,
)

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


class Estimate(NamedTuple):
  """A metric over the seeds of a row, as stored: `Metric.text` applies the scale."""

  mean: float
  low: float | None  # Lower end of the 95 % interval; None for one seed.
  high: float | None
  # Values of the finished runs, in order of the seed; none if measured once for the row.
  by_seed: Mapping[int, float]


class Difference(NamedTuple):
  """A row's metric minus the baseline's, over the seeds that finished in both."""

  mean: float
  low: float | None  # Lower end of the uncorrected 95 % interval; None for one seed.
  high: float | None
  p: float | None  # p-value of the two-sided paired t-test; None for one seed.
  p_holm: float | None  # `p` corrected for looks and for the rows of the family.
  verdict: Verdict  # Follows from `p_holm`, `p_equal`, `margin` and `ALPHA`.
  seeds: int  # Number of seeds that finished in both rows.
  # Seeds for a power of 80 % at the strictest level of Holm's method, `ALPHA` / rows, if
  # this is the true difference; None for one seed.
  needed: Needed | None
  rows: int  # Number of rows in the family, whose tests are corrected together.
  margin: float | None = None  # Largest difference that does not matter; None: unknown.
  p_equal: float | None = None  # Corrected p-value of the equivalence test.


class Failure(NamedTuple):
  """A failed run."""

  seed: int
  error: str  # One line.
  diverged: bool = False  # Whether a loss was not finite.


class Guess(NamedTuple):
  """Value of the best constant answer, in the primary metric."""

  value: float
  beaten: bool  # Whether the row's mean is better, by a one-sided t-test over seeds.


class Line(NamedTuple):
  """Results of a row."""

  name: str
  settings: Mapping[str, Any]  # Those that differ from the baseline.
  matched: str  # How its cost was matched to the baseline's; "" if it was not.
  baseline: str  # The row that it is compared with; "" for one that is a baseline.
  seeds: Sequence[int]  # Seeds that finished.
  failed: Sequence[Failure]
  not_run: Sequence[int]  # Seeds.
  unchecked: Sequence[int]  # Seeds that finished without a passed leak check.
  estimates: Mapping[str, Estimate]  # Metric key → estimate, ordered as `METRICS`.
  differences: Mapping[str, Difference]  # Metric key → difference; tested metrics.
  primary: str = "loss"  # Key of the metric that its dataset is judged by.
  guess: Guess | None = None  # None if it is unknown.

  @property
  def diverged(self) -> int:
    """Number of failed runs whose loss was not finite."""
    return sum(failure.diverged for failure in self.failed)


Figures = Mapping[int, Mapping[str, float]]  # Finished seed → metric key → value.


def lines(comparison: Comparison) -> list[Line]:
  """Return the results of each row, in the order of the rows."""
  rows = comparison.rows
  compared = baselines(comparison)
  by_row = {row.name: _figures(row) for row in rows}
  differences: dict[str, dict[str, Difference]] = {row.name: {} for row in rows}
  primary = {row.name: primary_of(row) for row in rows}
  for metric in METRICS.values():
    if not metric.tested:
      continue
    for names in families(comparison, compared):
      family = {name: compared[name] for name in names}
      margins = {
        name: _margin(comparison, metric.key == primary[name]) for name in names
      }
      for name, difference in _differences(
        metric, family, by_row, margins, max(1, len(comparison.looks))
      ).items():
        differences[name][metric.key] = difference
  return [
    Line(
      name=row.name,
      settings=row.settings,
      matched=row.matched,
      baseline=compared[row.name],
      seeds=tuple(by_row[row.name]),
      failed=[
        Failure(run.seed, run.error, _diverged(run))
        for run in row.runs
        if run.status == "failed"
      ],
      not_run=[run.seed for run in row.runs if run.status == "not run"],
      unchecked=_unchecked(row),
      estimates=estimates(row) | _measured(comparison.row_costs.get(row.name, {})),
      differences=differences[row.name],
      primary=primary[row.name],
      guess=_guess(row, primary[row.name]),
    )
    for row in rows
  ]


def primary_of(row: Row) -> str:
  """Return the key of the metric that the row's dataset is judged by."""
  for run in row.runs:
    if run.summary.get("primary") in METRICS:
      return str(run.summary["primary"])
  return "loss"


def _guess(row: Row, key: str) -> Guess | None:
  """Return what guessing reaches on the row's dataset, and whether the row is better."""
  metric, values = METRICS[key], list(_select(key, _figures(row)).values())
  known = [run.summary.get("guess") or {} for run in row.runs]
  chance = next((float(each[key]) for each in known if key in each), None)
  if chance is None or not values:
    return None
  mean, low, high = interval(values, level=0.9)  # Two-sided: 5 % on either side.
  end = low if metric.better == "higher" else high
  worst = mean if end is None else end
  return Guess(chance, worst > chance if metric.better == "higher" else worst < chance)


def _diverged(run: Run) -> bool:
  return any(record.get("event") == "not_finite" for record in run.curve)


def _margin(comparison: Comparison, is_primary: bool) -> float | str:
  """Return the margin of a metric: a number, or a share of the spread such as "50%"."""
  if comparison.margin.endswith("%"):
    return comparison.margin
  return float(comparison.margin) if is_primary else DEFAULT_MARGIN


def _measured(cost: Mapping[str, Any]) -> dict[str, Estimate]:
  return {
    key: Estimate(value, None, None, {}) for key, value in cost_figures(cost).items()
  }


def estimates(row: Row) -> dict[str, Estimate]:
  """Return the estimates of a row by metric key, for the metrics that it has."""
  by_seed = _figures(row)
  by_metric = {key: _select(key, by_seed) for key in METRICS}
  return {
    key: _estimate(METRICS[key], values) for key, values in by_metric.items() if values
  }


def _estimate(metric: Metric, values: Mapping[int, float]) -> Estimate:
  if metric.interval is None:
    return Estimate(sum(values.values()) / len(values), None, None, values)
  return Estimate(*interval(list(values.values()), scale=metric.interval), values)


def _figures(row: Row) -> dict[int, dict[str, float]]:
  runs = sorted(row.runs, key=lambda run: run.seed)
  return {run.seed: figures(run.summary) for run in runs if run.status == "finished"}


def _unchecked(row: Row) -> list[int]:
  return [
    run.seed
    for run in row.runs
    if run.status == "finished" and not is_checked(run.summary)
  ]


def _select(key: str, by_seed: Figures) -> dict[int, float]:
  """Return one metric by seed."""
  return {seed: found[key] for seed, found in by_seed.items() if key in found}


def _differences(
  metric: Metric,
  family: Mapping[str, str],
  by_row: Mapping[str, Figures],
  margins: Mapping[str, float | str],
  looks: int,
) -> dict[str, Difference]:
  """Return the difference of each row of a family that can be compared.

  Args:
    metric: the metric.
    family: row → its baseline.
    by_row: the figures of each row.
    margins: row → its margin: a number, or a share of the spread over seeds.
    looks: number of looks at the results.
  """
  values = {name: _select(metric.key, found) for name, found in by_row.items()}
  pairs = {
    name: pair
    for name, other in family.items()
    if (pair := paired(values[name], values[other])) is not None
  }
  sizes = {
    name: _size(margins[name], values[name], values[family[name]]) for name in pairs
  }
  corrected = _corrected({name: pair.p for name, pair in pairs.items()}, looks)
  equal = _corrected(
    {name: _equal(pair, sizes[name]) for name, pair in pairs.items()}, looks
  )
  tests = sum(pair.p is not None for pair in pairs.values())
  return {
    name: _difference(metric, pair, corrected[name], sizes[name], equal[name], tests)
    for name, pair in pairs.items()
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
  p_values: Mapping[str, float | None], looks: int
) -> dict[str, float | None]:
  """Return p-values corrected for looks and, by Holm, for their number."""
  over = [None if p is None else over_looks(p, looks) for p in p_values.values()]
  return dict(zip(p_values, holm(over), strict=True))


def _difference(
  metric: Metric,
  pair: Paired,
  corrected: float | None,
  margin: float | None,
  equal: float | None,
  rows: int,
) -> Difference:
  low, high = pair.low, pair.high
  if metric.interval == "logit" and low is not None and high is not None:
    low, high = max(low, -1.0), min(high, 1.0)  # Fractions cannot differ by more.
  return Difference(
    *(pair.mean, low, high, pair.p, corrected),
    verdict=_verdict(metric, pair.mean, corrected, margin, equal),
    seeds=pair.seeds,
    needed=needed(pair, alpha=ALPHA / max(1, rows)),
    rows=rows,
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
