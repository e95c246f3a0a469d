"""Figures of each row's primary metric: a dot per seed, the mean and its interval."""

from collections.abc import Sequence
from typing import Any

from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.sentences import estimate_text
from attention_lab.compare.analysis.table import Line
from attention_lab.compare.report.figures.marks import colour, marker
from attention_lab.compare.report.figures.quality import Judged, judged
from attention_lab.compare.report.figures.svg import GRID, INK, WIDTH, Figure, draw

_LONGEST = 52  # Characters of a name that fit above a row's dots.


def dots(comparison: Comparison, lines: Sequence[Line]) -> list[Figure]:
  """Return a figure for each dataset."""
  return [
    _figure(group, f"seeds-{i}") for i, group in enumerate(judged(comparison, lines))
  ]


def _figure(group: Judged, key: str) -> Figure:
  metric = group.metric
  title = f"{metric.name.capitalize()} of each seed{group.suffix}"

  def paint(axes: Any) -> None:
    baselines = [line for _, line in group.rows if not (line.baseline or line.unpaired)]
    if len(baselines) == 1:
      mean = baselines[0].estimates[metric.key].mean * metric.scale
      axes.axvline(mean, color=INK, linewidth=0.8, dashes=(2, 3), zorder=1)
    for place, (index, line) in enumerate(group.rows):
      _paint_row(axes, group, -place, index, line)
    axes.set_yticks([])
    axes.set_ylim(-len(group.rows) + 0.5, 0.7)
    axes.spines["left"].set_visible(False)
    axes.set(xlabel=metric.heading)

  size = WIDTH, 0.6 + 0.5 * len(group.rows)
  results = [
    f"{line.name}: {estimate_text(metric, line.estimates[metric.key])}"
    for _, line in group.rows
  ]
  alt = f"{title}, mean and interval. {'; '.join(results)}."
  caption = (
    "A mark per seed; the bar is the mean, the line its 95 % interval, the dotted line "
    f"the baseline's mean. {metric.better.capitalize()} is better."
  )
  return Figure(key, title, draw(key, alt, paint, size), caption)


def _paint_row(axes: Any, group: Judged, y: float, index: int, line: Line) -> None:
  metric, estimate = group.metric, line.estimates[group.metric.key]
  style = {"color": colour(index), "gid": f"series-{index}"}
  values = [each * metric.scale for each in estimate.by_seed.values()]
  axes.axhline(y, color=GRID, linewidth=0.7, zorder=0)
  if estimate.low is not None and estimate.high is not None:
    ends = [estimate.low * metric.scale, estimate.high * metric.scale]
    axes.plot(ends, [y, y], linewidth=2, solid_capstyle="butt", **style)
  mark = {"marker": marker(index), "markeredgewidth": 0, "markersize": 6}
  axes.plot(values, [y] * len(values), linestyle="", alpha=0.6, **mark, **style)
  mean = estimate.mean * metric.scale
  axes.plot([mean, mean], [y - 0.17, y + 0.17], linewidth=2.4, **style)
  name = line.name if len(line.name) <= _LONGEST else line.name[: _LONGEST - 1] + "…"
  across = axes.get_yaxis_transform()  # x as a fraction of the width.
  axes.text(0, y + 0.38, name, transform=across, va="center", fontsize=8)
