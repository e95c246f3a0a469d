"""The results of every row: estimates, differences from the baseline and verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from attention_lab.compare.analysis.measures import METRICS, Metric, figures, is_checked
from attention_lab.compare.analysis.record import Comparison, Row
from attention_lab.compare.analysis.statistics import (
  Paired,
  holm,
  interval,
  paired,
  seeds_needed,
)

ALPHA = 0.05  # Significance level of corrected p-values.
Verdict = Literal["better", "worse", "no significant difference", "one seed"]


class Estimate(NamedTuple):
  """A metric over the seeds of a row, as stored: `Metric.text` applies the scale."""

  mean: float
  low: float | None  # Lower end of the 95 % interval; None for one seed.
  high: float | None
  by_seed: Mapping[int, float]  # Values of the finished runs, in order of the seed.


class Difference(NamedTuple):
  """A row's metric minus the baseline's, over the seeds that finished in both."""

  mean: float
  low: float | None  # Lower end of the uncorrected 95 % interval; None for one seed.
  high: float | None
  p: float | None  # p-value of the two-sided paired t-test; None for one seed.
  p_holm: float | None  # `p` corrected for the number of rows compared in this metric.
  verdict: Verdict  # Follows from `p_holm` and `ALPHA`.
  seeds: int  # Number of seeds that finished in both rows.
  # Seeds for a power of 80 % at the strictest level of Holm's method, `ALPHA` / rows, if
  # this is the true difference. None: more than `statistics.MOST_SEEDS`.
  seeds_needed: int | None
  rows: int  # Number of rows compared in this metric.


class Failure(NamedTuple):
  """A failed run."""

  seed: int
  error: str  # One line.


class Line(NamedTuple):
  """Results of a row."""

  name: str
  settings: Mapping[str, Any]  # Those that differ from the baseline.
  matched: str  # How its cost was matched to the baseline's; "" if it was not.
  baseline: str  # The first row on the same dataset; "" for that row.
  seeds: Sequence[int]  # Seeds that finished.
  failed: Sequence[Failure]
  not_run: Sequence[int]  # Seeds.
  unchecked: Sequence[int]  # Seeds that finished without a passed leak check.
  estimates: Mapping[str, Estimate]  # Metric key → estimate, ordered as `METRICS`.
  differences: Mapping[str, Difference]  # Metric key → difference; tested metrics.


Figures = Mapping[int, Mapping[str, float]]  # Finished seed → metric key → value.


def lines(comparison: Comparison) -> list[Line]:
  """Return the results of each row, in the order of the rows."""
  rows = comparison.rows
  baselines = _baselines(rows)
  by_row = {row.name: _figures(row) for row in rows}
  differences: dict[str, dict[str, Difference]] = {row.name: {} for row in rows}
  for metric in METRICS.values():
    if metric.tested:
      for name, difference in _differences(metric, baselines, by_row).items():
        differences[name][metric.key] = difference
  return [
    Line(
      name=row.name,
      settings=row.settings,
      matched=row.matched,
      baseline=baselines[row.name],
      seeds=tuple(by_row[row.name]),
      failed=[
        Failure(run.seed, run.error) for run in row.runs if run.status == "failed"
      ],
      not_run=[run.seed for run in row.runs if run.status == "not run"],
      unchecked=_unchecked(row),
      estimates=estimates(row),
      differences=differences[row.name],
    )
    for row in rows
  ]


def estimates(row: Row) -> dict[str, Estimate]:
  """Return the estimates of a row by metric key, for the metrics that it has."""
  by_seed = _figures(row)
  by_metric = {key: _select(key, by_seed) for key in METRICS}
  return {
    key: Estimate(*interval(list(values.values())), values)
    for key, values in by_metric.items()
    if values
  }


def _baselines(rows: Sequence[Row]) -> dict[str, str]:
  """Return for each row the name of its baseline: the first row on the same dataset.

  It is "" for the baseline itself. Losses on different datasets are not comparable.
  """
  first: dict[Any, str] = {}
  for row in rows:
    first.setdefault(row.settings.get("dataset"), row.name)
  named = {row.name: first[row.settings.get("dataset")] for row in rows}
  return {name: "" if name == other else other for name, other in named.items()}


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
  metric: Metric, baselines: Mapping[str, str], by_row: Mapping[str, Figures]
) -> dict[str, Difference]:
  """Return the difference of each row that can be compared, with corrected p-values."""
  differences = {
    name: paired(_select(metric.key, by_row[name]), _select(metric.key, by_row[other]))
    for name, other in baselines.items()
    if other
  }
  pairs = {name: pair for name, pair in differences.items() if pair is not None}
  corrected = holm([pair.p for pair in pairs.values()])
  tests = sum(p is not None for p in corrected)
  return {
    name: _difference(metric, pair, p, tests)
    for (name, pair), p in zip(pairs.items(), corrected, strict=True)
  }


def _difference(
  metric: Metric, pair: Paired, corrected: float | None, rows: int
) -> Difference:
  verdict: Verdict = "one seed"
  needed = None
  if pair.sd is not None and corrected is not None:
    verdict = "no significant difference"
    if corrected < ALPHA:
      verdict = "better" if (pair.mean > 0) == (metric.better == "higher") else "worse"
    needed = seeds_needed(pair.mean, pair.sd, alpha=ALPHA / rows)
  return Difference(
    *(pair.mean, pair.low, pair.high, pair.p, corrected),
    verdict=verdict,
    seeds=pair.seeds,
    seeds_needed=needed,
    rows=rows,
  )
