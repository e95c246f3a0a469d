"""The table that every report shows, computed once: estimates, differences, verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from attention_lab.compare.analysis.measures import METRICS, Metric, figures, is_checked
from attention_lab.compare.analysis.record import Comparison, Row
from attention_lab.compare.analysis.statistics import (
  MOST_SEEDS,
  Paired,
  holm,
  interval,
  paired,
  seeds_needed,
)

ALPHA = 0.05  # Below which a corrected p-value is a verdict.
Verdict = Literal["better", "worse", "not told apart", "one seed"]


class Estimate(NamedTuple):
  """A metric over the seeds of a row, in the metric's own unit (`Metric.scale` is not
  applied; `Metric.told` applies it)."""

  mean: float
  low: float | None  # Of the 95 % interval of the mean; None with one seed.
  high: float | None
  by_seed: Mapping[int, float]  # Of the runs that finished, in order of the seed.


class Difference(NamedTuple):
  """A row's metric less the baseline's, over the seeds that both finished."""

  mean: float
  low: float | None  # Of the 95 % interval, of this row on its own; None with one seed.
  high: float | None
  p: float | None  # Of the paired t-test, two-sided; None with one seed.
  p_holm: float | None  # After Holm's correction for the rows compared in this metric.
  verdict: Verdict  # By `p_holm` at 0.05.
  seeds: int  # That both finished.
  # With which a true difference of this size is told apart four times in five, even if it
  # is the row that Holm is hardest on: at 0.05 over the rows. None: more than MOST_SEEDS.
  seeds_needed: int | None
  rows: int  # That were compared in this metric.


class Failure(NamedTuple):
  """A run that failed."""

  seed: int
  error: str  # One line.


class Line(NamedTuple):
  """A row as every report shows it."""

  name: str
  settings: Mapping[str, Any]  # In what it differs from the baseline.
  matched: str  # How it was made equal to the baseline; "" where it was not.
  baseline: str  # The row it is compared with: the first on its data; "" for that row.
  seeds: Sequence[int]  # That finished.
  failed: Sequence[Failure]
  not_run: Sequence[int]  # Seeds.
  unchecked: Sequence[
    int
  ]  # Seeds that finished and whose leaks are unchecked: no loss.
  estimates: Mapping[str, Estimate]  # By metric key; those that the row has, in order.
  differences: Mapping[str, Difference]  # By metric key; of the judged ones.
  sentence: str  # Plain text.


class Curve(NamedTuple):
  """The loss of one attention by the value of a setting, the other settings equal."""

  name: str
  points: Mapping[float, Estimate | None]  # By value, rising; None: none has finished.


class Sweep(NamedTuple):
  """How a numeric setting in which rows differ acts on each attention."""

  setting: str  # "train.learning_rate".
  curves: Sequence[Curve]


Figures = Mapping[int, Mapping[str, float]]  # By seed and metric, of finished runs.


def lines(comparison: Comparison) -> list[Line]:
  """One line for each row, in their order."""
  rows = comparison.rows
  baselines = _baselines(rows)
  figures = {row.name: _figures(row) for row in rows}
  judged: dict[str, dict[str, Difference]] = {row.name: {} for row in rows}
  for metric in METRICS.values():
    if metric.judged:
      for name, difference in _differences(metric, baselines, figures).items():
        judged[name][metric.key] = difference
  return [
    Line(
      name=row.name,
      settings=row.settings,
      matched=row.matched,
      baseline=baselines[row.name],
      seeds=tuple(figures[row.name]),
      failed=[
        Failure(run.seed, run.error) for run in row.runs if run.status == "failed"
      ],
      not_run=[run.seed for run in row.runs if run.status == "not run"],
      unchecked=_unchecked(row),
      estimates=_estimates(figures[row.name]),
      differences=judged[row.name],
      sentence=_sentence(
        row, baselines[row.name], judged[row.name].get("loss"), comparison.seeds
      ),
    )
    for row in rows
  ]


def sweeps(comparison: Comparison) -> list[Sweep]:
  """A sweep of each numeric setting in which rows that nobody matched differ.

  Matched rows have curves of their own: in them another setting changes, too.
  """
  found = []
  for setting in sorted({key for row in comparison.rows for key in row.settings}):
    curves: dict[str, dict[float, Estimate | None]] = {}
    for row in comparison.rows:
      value = row.settings.get(setting, comparison.baseline.get(setting))
      if isinstance(value, int | float) and not isinstance(value, bool):
        points = curves.setdefault(_without(row, setting, comparison), {})
        points[value] = _estimates(_figures(row)).get("loss")
    drawn = [
      Curve(name, dict(sorted(points.items())))
      for name, points in curves.items()
      if len(points) > 1
    ]
    if drawn and len(_chosen(setting, comparison)) > 1:
      found.append(Sweep(setting, drawn))
  return found


def _chosen(setting: str, comparison: Comparison) -> set[Any]:
  """The values that were asked for, not made by matching."""
  return {
    row.settings.get(setting, comparison.baseline.get(setting))
    for row in comparison.rows
    if not row.matched
  }


def _without(row: Row, setting: str, comparison: Comparison) -> str:
  """What a row is called but for one setting."""
  others = {k: v for k, v in row.settings.items() if k not in (setting, "attention")}
  attention = row.settings.get("attention", comparison.baseline.get("attention"))
  named = [] if attention is None else [str(attention)]
  named += [f"{key.split('.')[-1]} {value}" for key, value in sorted(others.items())]
  return ", ".join(named + ["matched"] * bool(row.matched)) or "all"


def _baselines(rows: Sequence[Row]) -> dict[str, str]:
  """For each row the first on the same data, by name; "" for that itself: losses on
  different data say nothing about each other."""
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


def _of(key: str, figures: Figures) -> dict[int, float]:
  """One metric by seed."""
  return {seed: found[key] for seed, found in figures.items() if key in found}


def _estimates(figures: Figures) -> dict[str, Estimate]:
  by_metric = {key: _of(key, figures) for key in METRICS}
  return {
    key: Estimate(*interval(list(values.values())), values)
    for key, values in by_metric.items()
    if values
  }


def _differences(
  metric: Metric, baselines: Mapping[str, str], figures: Mapping[str, Figures]
) -> dict[str, Difference]:
  """Of each row that can be compared, corrected for how many are."""
  found = {
    name: paired(_of(metric.key, figures[name]), _of(metric.key, figures[other]))
    for name, other in baselines.items()
    if other
  }
  pairs = {name: pair for name, pair in found.items() if pair is not None}
  corrected = holm([pair.p for pair in pairs.values()])
  tested = sum(p is not None for p in corrected)
  return {
    name: _difference(metric, pair, p, tested)
    for (name, pair), p in zip(pairs.items(), corrected, strict=True)
  }


def _difference(
  metric: Metric, pair: Paired, corrected: float | None, rows: int
) -> Difference:
  verdict: Verdict = "one seed"
  needed = None
  if pair.sd is not None and corrected is not None:
    verdict = "not told apart"
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


def _sentence(row: Row, baseline: str, loss: Difference | None, asked: int) -> str:
  finished = [run for run in row.runs if run.status == "finished"]
  if not finished:
    failed = sum(run.status == "failed" for run in row.runs)
    return f"no run has finished; {failed} failed" if failed else "no run has finished"
  if len(_unchecked(row)) == len(finished):
    return "leaks are unchecked, so it gets no loss"
  if not baseline:
    return "the baseline"
  if loss is None:
    return f"not compared: no seed has a loss both here and with {baseline}"
  return told(loss, METRICS["loss"], baseline, asked)


def told(difference: Difference, metric: Metric, baseline: str, asked: int) -> str:
  """A difference as a sentence.

  Args:
    difference: a row's to the baseline.
    metric: of what.
    baseline: its name.
    asked: seeds that were asked for.
  """
  size = metric.told(abs(difference.mean))
  by = f"{size} {metric.step}".strip()
  if difference.verdict == "one seed":
    side = "above" if difference.mean > 0 else "below"
    advice = "use --seeds=5" if asked == 1 else f"{asked} were asked for"
    return f"one seed tells nothing about chance: {advice} ({by} {side} {baseline})"
  n = difference.seeds
  at = f"at {n} seeds" if n >= asked else f"at {n} of {asked} seeds"
  if difference.low == difference.high == 0:
    return f"{metric.name} the same as that of {baseline} {at}, each by each"
  if difference.verdict == "not told apart":
    return (
      f"not told apart from {baseline} {at} ({_p(difference)}); {_more(difference)}"
    )
  return (
    f"{difference.verdict} than {baseline} by {by} {_gap(difference, metric)} {at} "
    f"({_p(difference)})"
  )


def _gap(difference: Difference, metric: Metric) -> str:
  """The interval of how much better, or how much worse."""
  assert difference.low is not None
  assert difference.high is not None
  ends = difference.low, difference.high
  low, high = sorted(end if difference.mean > 0 else -end for end in ends)
  return f"[{metric.told(low)}, {metric.told(high)}]"


def _p(difference: Difference) -> str:
  assert difference.p_holm is not None
  if difference.low == difference.high:
    return f"p = {difference.p_holm:.0f}: the difference is the same at every seed"
  told = p_told(difference.p_holm)
  return told + f" after Holm for {difference.rows} rows" * (difference.rows > 1)


def p_told(p: float) -> str:
  """A p-value as a person reads it."""
  return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def _more(difference: Difference) -> str:
  needed = difference.seeds_needed
  if needed is None:
    return f"not even {MOST_SEEDS:,} seeds would tell a difference of this size"
  return (
    f"about {float(f'{needed:.2g}'):,.0f} seeds would tell a difference of this size"
  )
