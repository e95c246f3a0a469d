"""Figures of a metric over two axes: of two settings, or of part and sequence length."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from attention_lab.compare.analysis.measures import METRICS, Metric
from attention_lab.compare.analysis.parts import Parts, by_part
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.sweeps import Grid, grids
from attention_lab.compare.analysis.table import Line
from attention_lab.compare.analysis.wording import setting_text, value_text
from attention_lab.compare.report.figures.svg import (
  ACCENT,
  INK,
  WIDTH,
  Figure,
  draw,
)

# Opacities of the worst cell, and of the best in addition: its text has to be legible.
WEAKEST, STRONGEST = 0.05, 0.4


def heatmaps(comparison: Comparison, lines: Sequence[Line]) -> list[Figure]:
  """Return a figure for each grid of two settings in which a row has its metric."""
  found = []
  for number, grid in enumerate(grids(comparison)):
    metric = METRICS[lines[next(iter(grid.rows.values()))].primary]
    means = {
      at: lines[index].estimates[metric.key].mean
      for at, index in grid.rows.items()
      if metric.key in lines[index].estimates
    }
    if means:
      found.append(_figure(grid, metric, means, f"heatmap-{number}"))
  return found


def part_heatmaps(comparison: Comparison) -> list[Figure]:
  """Return a figure of each row whose validation split has parts, by part and length."""
  found = by_part(comparison)
  scales: dict[str, list[float]] = {}  # Rows with the same metric share their colours.
  for each in found:
    means = scales.setdefault(each.metric.key, [])
    means += [cell.mean for cell in each.cells.values()]
    means += [0.0, 1.0] * (each.metric.unit == "%")
  return [
    _of_parts(each, scales[each.metric.key], f"parts-{number}")
    for number, each in enumerate(found)
  ]


def _of_parts(found: Parts, scale: Sequence[float], key: str) -> Figure:
  metric = found.metric
  ys = [f"{length:,}" for length in found.lengths]
  means = {
    (found.names.index(name), found.lengths.index(length)): cell.mean
    for (name, length), cell in found.cells.items()
  }

  def paint(axes: Any) -> None:
    _cells(axes, _Axes(found.names, ys), means, metric, scale)
    axes.set(ylabel="tokens")

  title = f"{metric.heading.capitalize()} of {found.row}"
  worst = min(means, key=lambda at: _sign(metric) * means[at])
  where = f"{found.names[worst[0]]} of {ys[worst[1]]} tokens"
  alt = f"{title} by part and length. Worst: {metric.text(means[worst])} at {where}."
  caption = f"Means over seeds. {metric.better.capitalize()} is better; worst: {where}."
  size = WIDTH, 0.8 + 0.42 * len(ys)
  return Figure(key, title, draw(key, alt, paint, size), caption)


def _figure(
  grid: Grid, metric: Metric, means: dict[tuple[float, float], float], key: str
) -> Figure:
  xs, ys = (sorted({at[axis] for at in grid.rows}) for axis in (0, 1))
  best = max(means, key=lambda at: _sign(metric) * means[at])
  placed = {(xs.index(x), ys.index(y)): mean for (x, y), mean in means.items()}
  empty = {(xs.index(x), ys.index(y)) for x, y in grid.rows} - placed.keys()

  def paint(axes: Any) -> None:
    both = _Axes([value_text(x) for x in xs], [value_text(y) for y in ys])
    _cells(axes, both, placed, metric, list(means.values()), empty)
    axes.set(xlabel=grid.settings[0], ylabel=grid.settings[1])

  title = f"{metric.heading.capitalize()} of {grid.name}"
  where = " and ".join(
    setting_text(*each) for each in zip(grid.settings, best, strict=True)
  )
  alt = (
    f"{title} by {grid.settings[0]} and {grid.settings[1]}. "
    f"Best: {metric.text(means[best])} at {where}."
  )
  caption = f"Means over seeds. {metric.better.capitalize()} is better; best: {where}."
  size = WIDTH, 0.8 + 0.42 * len(ys)
  return Figure(key, title, draw(key, alt, paint, size), caption)


class _Axes(NamedTuple):
  """Labels of the columns and of the rows of cells."""

  x: Sequence[str]
  y: Sequence[str]


def _sign(metric: Metric) -> int:
  return 1 if metric.better == "higher" else -1


def _cells(
  axes: Any,
  labels: _Axes,
  means: Mapping[tuple[int, int], float],
  metric: Metric,
  scale: Sequence[float],
  empty: Collection[tuple[int, int]] = (),
) -> None:
  """Draw cells with their values, the best one in bold.

  Args:
    axes: matplotlib's axes.
    labels: labels of columns and rows.
    means: values by column and row.
    metric: the metric of the values.
    scale: values of which the worst and the best have the weakest and strongest colour.
    empty: cells without a value.
  """
  sign = _sign(metric)
  best = max(means, key=lambda at: sign * means[at])
  for at in (*means, *empty):
    share = _share(means[at], scale, sign) if at in means else 0.0
    _cell(axes, at, share, at == best)
    text = metric.text(means[at]) if at in means else "–"
    weight = "bold" if at == best else "normal"
    axes.text(*at, text, ha="center", va="center", fontsize=8, fontweight=weight)
  axes.set(xlim=(-0.5, len(labels.x) - 0.5), ylim=(-0.5, len(labels.y) - 0.5))
  axes.set_xticks(range(len(labels.x)), labels.x)
  axes.set_yticks(range(len(labels.y)), labels.y)
  axes.grid(False)


def _share(mean: float, scale: Sequence[float], sign: int) -> float:
  """Return where a value lies between the worst (0) and the best (1) of a scale."""
  values = [sign * each for each in scale]
  width = (max(values) - min(values)) or 1.0
  return (sign * mean - min(values)) / width


def _cell(axes: Any, place: tuple[int, int], share: float, is_best: bool) -> None:
  from matplotlib.patches import Rectangle

  corner = place[0] - 0.47, place[1] - 0.46
  axes.add_patch(
    Rectangle(corner, 0.94, 0.92, color=ACCENT, alpha=WEAKEST + STRONGEST * share, lw=0)
  )
  if is_best:
    axes.add_patch(Rectangle(corner, 0.94, 0.92, fill=False, edgecolor=INK, lw=1.4))
