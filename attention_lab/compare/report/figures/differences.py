"""Figures of the difference from the baseline during training, paired by seed."""

from collections.abc import Sequence
from typing import Any

from attention_lab.compare.analysis.measures import METRICS, Metric
from attention_lab.compare.analysis.record import Comparison, Row
from attention_lab.compare.analysis.statistics import paired
from attention_lab.compare.analysis.table import Line, shown
from attention_lab.compare.report.figures.alternative import course
from attention_lab.compare.report.figures.curves import EARLY, measured
from attention_lab.compare.report.figures.svg import (
  INK,
  Figure,
  Series,
  draw,
  paint_series,
)


def gaps(comparison: Comparison, lines: Sequence[Line]) -> list[Figure]:
  """Return a figure for each metric by which a dataset is judged, where curves have it."""
  rows = {row.name: row for row in comparison.rows}
  found: dict[str, list[Series]] = {}
  for index, line in enumerate(lines):
    if not line.baseline:
      continue
    for key in dict.fromkeys((line.primary, "loss")):
      one = _series(index, rows[line.name], rows[line.baseline], METRICS[key])
      if one.x:
        found.setdefault(key, []).append(one)
        break
  return [_figure(lines, METRICS[key], series) for key, series in found.items()]


def _series(index: int, row: Row, other: Row, metric: Metric) -> Series:
  """Return the mean difference at each step, with its 95 % interval."""
  mine, theirs = ({run.seed: run for run in shown(each)} for each in (row, other))
  seeds = sorted(mine.keys() & theirs.keys())
  if not seeds:
    return Series(index, [], [])
  values, others = (
    measured([runs[seed] for seed in seeds], metric.key) for runs in (mine, theirs)
  )
  steps = sorted(values.keys() & others.keys())
  pairs = [
    paired(
      dict(zip(seeds, values[step], strict=True)),
      dict(zip(seeds, others[step], strict=True)),
    )
    for step in steps
  ]
  known = [pair for pair in pairs if pair is not None]
  return Series(
    *(index, steps, [pair.mean * metric.scale for pair in known]),
    low=[pair.low * metric.scale for pair in known if pair.low is not None],
    high=[pair.high * metric.scale for pair in known if pair.high is not None],
  )


def _figure(lines: Sequence[Line], metric: Metric, series: Sequence[Series]) -> Figure:
  bottom, top, is_cut = _limits(series)

  def paint(axes: Any) -> None:
    axes.axhline(0, color=INK, linewidth=0.8, dashes=(2, 3), zorder=1)
    paint_series(axes, series)
    axes.set(xlabel="steps", ylabel=f"difference ({metric.difference_unit})")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom, top)

  key, title = f"gap-{metric.key}", f"Difference in {metric.name} by steps"
  names = [f"{lines[s.number].name} minus {lines[s.number].baseline}" for s in series]
  alt = course(title, names, series, "+.3g", metric.better)
  caption = (
    "Row minus its baseline, paired by seed: means with 95 % intervals of each step by "
    f"itself, not corrected for their number. {metric.better.capitalize()} is better."
  )
  caption += " The first fifth of training may exceed the axis." * is_cut
  return Figure(key, title, draw(key, alt, paint), caption)


def _limits(series: Sequence[Series]) -> tuple[float, float, bool]:
  """Return an axis that fits 0 and what follows `EARLY`, and whether more exceeds it."""
  late, every = [0.0], [0.0]
  for one in series:
    for values in (one.low or one.y, one.high or one.y):
      every += values
      late += [y for x, y in zip(one.x, values, strict=True) if x >= EARLY * one.x[-1]]
  room = 0.08 * (max(late) - min(late)) or 0.01
  bottom, top = min(late) - room, max(late) + room
  return bottom, top, not bottom <= min(every) <= max(every) <= top
