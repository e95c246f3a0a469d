"""Figures of each row's primary metric over the values of two numeric settings."""

from collections.abc import Sequence
from typing import Any

from attention_lab.compare.analysis.measures import METRICS, Metric
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


def _figure(
  grid: Grid, metric: Metric, means: dict[tuple[float, float], float], key: str
) -> Figure:
  xs, ys = (sorted({at[axis] for at in grid.rows}) for axis in (0, 1))
  sign = 1 if metric.better == "higher" else -1
  best = max(means, key=lambda at: sign * means[at])

  def paint(axes: Any) -> None:
    for at in grid.rows:
      place = xs.index(at[0]), ys.index(at[1])
      text = metric.text(means[at]) if at in means else "–"
      _cell(axes, place, _share(at, means, sign), at == best)
      weight = "bold" if at == best else "normal"
      axes.text(*place, text, ha="center", va="center", fontsize=8, fontweight=weight)
    axes.set(xlim=(-0.5, len(xs) - 0.5), ylim=(-0.5, len(ys) - 0.5))
    axes.set_xticks(range(len(xs)), [value_text(x) for x in xs])
    axes.set_yticks(range(len(ys)), [value_text(y) for y in ys])
    axes.set(xlabel=grid.settings[0], ylabel=grid.settings[1])
    axes.grid(False)

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


def _share(
  at: tuple[float, float], means: dict[tuple[float, float], float], sign: int
) -> float:
  """Return where a cell lies between the worst (0) and the best (1)."""
  if at not in means:
    return 0.0
  values = [sign * mean for mean in means.values()]
  width = (max(values) - min(values)) or 1.0
  return (sign * means[at] - min(values)) / width


def _cell(axes: Any, place: tuple[int, int], share: float, is_best: bool) -> None:
  from matplotlib.patches import Rectangle

  corner = place[0] - 0.47, place[1] - 0.46
  axes.add_patch(
    Rectangle(corner, 0.94, 0.92, color=ACCENT, alpha=WEAKEST + STRONGEST * share, lw=0)
  )
  if is_best:
    axes.add_patch(Rectangle(corner, 0.94, 0.92, fill=False, edgecolor=INK, lw=1.4))
