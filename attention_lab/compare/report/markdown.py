"""report.md: a comparison as text that GitHub, a terminal and a mail can show."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attention_lab.compare.analysis.measures import METRICS, Metric
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.table import (
  Curve,
  Difference,
  Estimate,
  Line,
  lines,
  p_told,
  sweeps,
)

NOTES = (
  "Brackets hold 95 % t intervals, each row on its own. Differences to the baseline are "
  "paired by seed; their p-values are those of the paired t-test, corrected by Holm for "
  "the rows compared in that metric, and a row is called better or worse below 0.05. "
  "The seeds that would be needed find a true difference of the size seen here four "
  "times in five at 0.05 over the number of rows, the strictest step of Holm's; the size "
  "seen is itself uncertain."
)


def report(comparison: Comparison) -> str:
  """The whole of report.md, ending with a newline."""
  rows = lines(comparison)
  parts = [
    f"# {_title(comparison, rows)}",
    f"```\n{comparison.command}\n```",
    "\n".join(f"- **{_safe(line.name)}**: {_safe(line.sentence)}." for line in rows),
    _results(rows),
    NOTES,
    *_differences(rows),
    *_seeds(rows),
    *_matched(rows),
    *_troubles(rows),
    *_sweeps(comparison),
    *_provenance(comparison),
  ]
  return "\n\n".join(parts) + "\n"


def _title(comparison: Comparison, rows: Sequence[Line]) -> str:
  seeds = f"{comparison.seeds} seed" + "s" * (comparison.seeds != 1)
  title = f"{len(rows)} rows, {seeds}, {comparison.steps:,} steps"
  return f"{_safe(rows[0].name)} and what is compared with it: {title}"


def _results(rows: Sequence[Line]) -> str:
  shown = _shown(rows)
  head = ["row", "seeds", *(metric.heading for metric in shown)]
  body = [
    [line.name, _status(line), *(_cell(line, metric) for metric in shown)]
    for line in rows
  ]
  return "## Results\n\n" + _grid(head, body)


def _shown(rows: Sequence[Line]) -> list[Metric]:
  """The metrics that some row has."""
  return [m for m in METRICS.values() if any(m.key in line.estimates for line in rows)]


def _status(line: Line) -> str:
  told = f"{len(line.seeds)} finished"
  told += f", {len(line.failed)} failed" * bool(line.failed)
  return told + f", {len(line.not_run)} not run" * bool(line.not_run)


def _cell(line: Line, metric: Metric) -> str:
  if (estimate := line.estimates.get(metric.key)) is not None:
    return estimated(metric, estimate)
  if metric.predicts and line.unchecked:
    return "leaks are unchecked"
  return "–"


def estimated(metric: Metric, estimate: Estimate) -> str:
  """A mean with its interval where it has one that is wider than nothing."""
  mean = metric.told(estimate.mean)
  if estimate.low is None or estimate.high is None or estimate.low == estimate.high:
    return mean
  return f"{mean} [{metric.told(estimate.low)}, {metric.told(estimate.high)}]"


def _differences(rows: Sequence[Line]) -> Iterable[str]:
  """A table of each judged metric that some row is compared in."""
  head = ["row", "compared with", "difference", "seeds", "p", "p (Holm)", "verdict"]
  for metric in METRICS.values():
    body = [
      [line.name, line.baseline, *_difference(metric, line.differences[metric.key])]
      for line in rows
      if metric.key in line.differences
    ]
    if body:
      unit = f" ({metric.step})" if metric.step else ""
      title = f"## Difference in {metric.name}{unit}; {metric.better} is better"
      yield f"{title}\n\n{_grid(head, body)}"


def _difference(metric: Metric, difference: Difference) -> list[str]:
  told = metric.change(difference.mean)
  if difference.low is not None and difference.high is not None:
    told += f" [{metric.change(difference.low)}, {metric.change(difference.high)}]"
  ps = (difference.p, difference.p_holm)
  return [
    told,
    str(difference.seeds),
    *(
      "–" if p is None else p_told(p).removeprefix("p ").removeprefix("= ") for p in ps
    ),
    difference.verdict,
  ]


def _seeds(rows: Sequence[Line]) -> Iterable[str]:
  shown = [metric for metric in _shown(rows) if metric.predicts]
  body = [
    [line.name, str(seed), *(_by_seed(line, metric, seed) for metric in shown)]
    for line in rows
    for seed in line.seeds
  ]
  if body:
    head = ["row", "seed", *(metric.heading for metric in shown)]
    yield f"## Each seed\n\n{_grid(head, body)}"


def _by_seed(line: Line, metric: Metric, seed: int) -> str:
  estimate = line.estimates.get(metric.key)
  if estimate is not None and seed in estimate.by_seed:
    return metric.told(estimate.by_seed[seed])
  return "leaks are unchecked" if seed in line.unchecked else "–"


def _matched(rows: Sequence[Line]) -> Iterable[str]:
  notes = [
    f"- {_safe(line.name)}: {_safe(line.matched)}" for line in rows if line.matched
  ]
  if notes:
    yield "## Matched rows\n\n" + "\n".join(notes)


def _troubles(rows: Sequence[Line]) -> Iterable[str]:
  notes = [
    f"- {_safe(line.name)}, seed {failure.seed}: {_safe(failure.error)}"
    for line in rows
    for failure in line.failed
  ]
  if notes:
    yield "## Failed runs\n\n" + "\n".join(notes)


def _sweeps(comparison: Comparison) -> Iterable[str]:
  loss = METRICS["loss"]
  for sweep in sweeps(comparison):
    values = sorted({value for curve in sweep.curves for value in curve.points})
    head = [sweep.setting, *(f"{value:g}" for value in values)]
    body = [
      [curve.name, *(_point(loss, curve, value) for value in values)]
      for curve in sweep.curves
    ]
    title = f"## {loss.heading.capitalize()} by {_safe(sweep.setting)}"
    yield f"{title}\n\n{_grid(head, body)}"


def _point(loss: Metric, curve: Curve, value: float) -> str:
  if value not in curve.points:
    return "–"
  estimate = curve.points[value]
  return "no loss" if estimate is None else estimated(loss, estimate)


def _provenance(comparison: Comparison) -> Iterable[str]:
  facts = [
    f"- {_safe(name)}: {_safe(text)}" for name, text in comparison.provenance.items()
  ]
  facts.append(f"- checks: {checks(comparison)}")
  yield "## Provenance\n\n" + "\n".join(facts)
  if comparison.baseline:
    keys = sorted(comparison.baseline)
    body = [
      [row.name, *(_value(key, row.settings, comparison.baseline) for key in keys)]
      for row in comparison.rows
    ]
    yield "## Settings in which rows differ\n\n" + _grid(["row", *keys], body)


def _value(key: str, settings: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
  return str(settings.get(key, baseline.get(key)))


def checks(comparison: Comparison) -> str:
  """What the runs' checks for leaks of the future came to."""
  found = Counter(
    str(run.summary.get("leak_check", "not known"))
    for row in comparison.rows
    for run in row.runs
    if run.status == "finished"
  )
  told = ", ".join(f"{told} in {n}" for told, n in sorted(found.items()))
  return f"that nothing leaks the future: {told or 'no run has finished'}"


def _grid(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
  """A GitHub table: names to the left, figures to the right."""
  rule = [":--", *["--:"] * (len(head) - 1)]
  return "\n".join(
    "| " + " | ".join(cells) + " |"
    for cells in [
      [_safe(cell) for cell in head],
      rule,
      *([*map(_safe, r)] for r in body),
    ]
  )


def _safe(text: str) -> str:
  """Text on one line, that Markdown takes for no mark of its own."""
  text = " ".join(str(text).split())
  return re.sub(r"[\\`*|]|<(?=\S)", r"\\\g<0>", text)
