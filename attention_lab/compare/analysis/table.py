"""The results of every row: estimates, differences from the baseline and verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from attention_lab.compare.analysis.differences import (
  Difference,
  Figures,
  differences,
  select,
)
from attention_lab.compare.analysis.measures import (
  BITS,
  METRICS,
  Metric,
  cost_figures,
  figures,
  is_checked,
)
from attention_lab.compare.analysis.pairs import compared, value
from attention_lab.compare.analysis.record import Comparison, Row, Run
from attention_lab.compare.analysis.statistics import interval


class Estimate(NamedTuple):
  """A metric over the seeds of a row, as stored: `Metric.text` applies the scale."""

  mean: float
  low: float | None  # Lower end of the 95 % interval; None for one seed.
  high: float | None
  # Values of the finished runs, in order of the seed; none if measured once for the row.
  by_seed: Mapping[int, float]


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
  # Row that it is compared with → metric key → difference, for tested metrics.
  comparisons: Mapping[str, Mapping[str, Difference]]
  # Setting in which no earlier row differs alone; "" if it is compared, or a baseline.
  unpaired: str
  seeds: Sequence[int]  # Seeds that finished.
  failed: Sequence[Failure]
  not_run: Sequence[int]  # Seeds.
  unchecked: Sequence[int]  # Seeds that finished without a passed leak check.
  estimates: Mapping[str, Estimate]  # Metric key → estimate, ordered as `METRICS`.
  primary: str = "loss"  # Key of the metric that its dataset is judged by.
  guess: Guess | None = None  # None if it is unknown.

  @property
  def baseline(self) -> str:
    """The row that it is compared with first; "" for one that is a baseline."""
    return next(iter(self.comparisons), "")

  @property
  def differences(self) -> Mapping[str, Difference]:
    """Metric key → difference from `baseline`."""
    return next(iter(self.comparisons.values()), {})

  def differences_in(self, key: str) -> dict[str, Difference]:
    """Return the differences in a metric, by the row that it is compared with."""
    return {
      other: found[key] for other, found in self.comparisons.items() if key in found
    }

  @property
  def diverged(self) -> int:
    """Number of failed runs whose loss was not finite."""
    return sum(failure.diverged for failure in self.failed)


def lines(comparison: Comparison) -> list[Line]:
  """Return the results of each row, in the order of the rows."""
  rows, others = comparison.rows, compared(comparison)
  by_row = {row.name: _figures(row) for row in rows}
  primary = _primary(comparison, others, by_row)
  found = differences(comparison, others, by_row, primary)
  alone = _alone(others)
  return [
    Line(
      name=row.name,
      settings=row.settings,
      matched=row.matched,
      comparisons={
        other: found.get((row.name, other), {}) for other in others[row.name]
      },
      unpaired=comparison.about if row.name in alone else "",
      seeds=tuple(by_row[row.name]),
      failed=[
        Failure(run.seed, run.error, _diverged(run))
        for run in row.runs
        if run.status == "failed"
      ],
      not_run=[run.seed for run in row.runs if run.status == "not run"],
      unchecked=_unchecked(row),
      estimates=estimates(row) | _measured(comparison.row_costs.get(row.name, {})),
      primary=primary[row.name],
      guess=_guess(row, primary[row.name]),
    )
    for row in rows
  ]


def _primary(
  comparison: Comparison,
  others: Mapping[str, Sequence[str]],
  by_row: Mapping[str, Figures],
) -> dict[str, str]:
  """Return the key of the metric that each row is judged by.

  Losses per token cannot be compared across tokenizers: texts of different datasets that
  a row names in `against` are judged by bits per byte.
  """
  rows = {row.name: row for row in comparison.rows}
  primary = {name: primary_of(row) for name, row in rows.items()}
  for name, compared_with in others.items():
    for other in compared_with:
      pair = rows[name], rows[other]
      datasets = {value(comparison, row, "dataset") for row in pair}
      if len(datasets) > 1 and all(_has_bits(by_row[row.name]) for row in pair):
        primary |= dict.fromkeys((name, other), BITS)
  return primary


def _has_bits(by_seed: Figures) -> bool:
  return bool(select(BITS, by_seed))


def _alone(others: Mapping[str, Sequence[str]]) -> set[str]:
  """Return the rows after the first that are not compared with any row."""
  named = {name for names in others.values() for name in names}
  later = list(others)[1:]
  return {name for name in later if not others[name]} - named


def primary_of(row: Row) -> str:
  """Return the key of the metric that the row's dataset is judged by."""
  for run in row.runs:
    if run.summary.get("primary") in METRICS:
      return str(run.summary["primary"])
  return "loss"


def shown(row: Row) -> list[Run]:
  """Return the finished runs with a passed leak check."""
  return [
    run for run in row.runs if run.status == "finished" and is_checked(run.summary)
  ]


def _guess(row: Row, key: str) -> Guess | None:
  """Return what guessing reaches on the row's dataset, and whether the row is better."""
  metric, values = METRICS[key], list(select(key, _figures(row)).values())
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


def _measured(cost: Mapping[str, Any]) -> dict[str, Estimate]:
  return {
    key: Estimate(value, None, None, {}) for key, value in cost_figures(cost).items()
  }


def estimates(row: Row) -> dict[str, Estimate]:
  """Return the estimates of a row by metric key, for the metrics that it has."""
  by_seed = _figures(row)
  by_metric = {key: select(key, by_seed) for key in METRICS}
  return {
    key: estimate(METRICS[key], values) for key, values in by_metric.items() if values
  }


def estimate(metric: Metric, values: Mapping[int, float]) -> Estimate:
  """Return the estimate of a metric from its values by seed."""
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
