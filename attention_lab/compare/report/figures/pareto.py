"""Figures of quality against cost, in which the rows that no other dominates are marked."""

from collections.abc import Sequence
from typing import Any

from attention_lab.compare.analysis.measures import METRICS, Metric
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.table import Line
from attention_lab.compare.analysis.wording import listed
from attention_lab.compare.report.figures.marks import colour, marker
from attention_lab.compare.report.figures.quality import Judged, judged
from attention_lab.compare.report.figures.svg import INK, Figure, draw

# Costs to plot; of each group, the first that rows have.
COSTS = (
  ("step_seconds",),
  ("parameters",),
  ("state_bytes_16384", "state_bytes_1024"),
)
Point = tuple[int, Line]


def pareto(comparison: Comparison, lines: Sequence[Line]) -> list[Figure]:
  """Return a figure for each dataset and cost in which at least two rows differ."""
  figures = []
  for number, group in enumerate(judged(comparison, lines)):
    for keys in COSTS:
      for key in keys:
        rows = [(i, line) for i, line in group.rows if key in line.estimates]
        if len({line.estimates[key].mean for _, line in rows}) > 1:
          shown = group._replace(rows=rows)
          figures.append(_figure(shown, METRICS[key], f"pareto-{key}-{number}"))
          break
  return figures


def front(points: Sequence[tuple[float, float]]) -> list[int]:
  """Return the indices of the points that no other dominates, by increasing cost.

  A point dominates another if it is not worse in either number and better in one.

  Args:
    points: pairs of cost and loss: lower is better in both.
  """

  def dominated(point: tuple[float, float]) -> bool:
    return any(
      other[0] <= point[0] and other[1] <= point[1] and other != point
      for other in points
    )

  left = [i for i, point in enumerate(points) if not dominated(point)]
  return sorted(left, key=lambda i: points[i])


def _figure(group: Judged, cost: Metric, key: str) -> Figure:
  metric, rows = group.metric, group.rows
  sign = 1 if metric.better == "lower" else -1
  at = [
    (line.estimates[cost.key].mean, line.estimates[metric.key].mean) for _, line in rows
  ]
  best = front([(x, sign * y) for x, y in at])
  title = f"{metric.name.capitalize()} by {cost.name}{group.suffix}"

  def paint(axes: Any) -> None:
    xs, ys = zip(*((x * cost.scale, y * metric.scale) for x, y in at), strict=True)
    edge = [xs[i] for i in best], [ys[i] for i in best]
    axes.step(*edge, where="post", color=INK, linewidth=0.8, alpha=0.5, zorder=1)
    for (index, line), x, y in zip(rows, xs, ys, strict=True):
      _paint_point(axes, metric, index, line, x, y)
    ring = {"marker": "o", "markersize": 13, "fillstyle": "none", "markeredgewidth": 1}
    axes.plot(*edge, linestyle="", color=INK, zorder=4, **ring)
    if max(xs) >= 4 * min(xs) > 0:
      axes.set_xscale("log")
      axes.xaxis.get_major_locator().set_params(subs=(1, 3), numticks=7)
      axes.minorticks_off()
    else:
      axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.margins(0.12)
    axes.set(xlabel=cost.heading, ylabel=metric.heading)

  names = listed([rows[i][1].name for i in best])
  results = "; ".join(
    f"{line.name}: {metric.text(y)} at {cost.text(x)}"
    for (_, line), (x, y) in zip(rows, at, strict=True)
  )
  alt = f"{title}. {results}. Not dominated: {names}."
  caption = (
    f"{metric.better.capitalize()} and further left is better. Circles: rows that no "
    "other dominates by the means (as good in both, better in one). Vertical lines are "
    "95 % intervals."
  )
  return Figure(key, title, draw(key, alt, paint), caption)


def _paint_point(
  axes: Any, metric: Metric, index: int, line: Line, x: float, y: float
) -> None:
  estimate, style = (
    line.estimates[metric.key],
    {"color": colour(index), "gid": f"series-{index}"},
  )
  if estimate.low is not None and estimate.high is not None:
    ends = [estimate.low * metric.scale, estimate.high * metric.scale]
    axes.plot([x, x], ends, linewidth=1.2, alpha=0.6, zorder=2, **style)
  mark = {"marker": marker(index), "markeredgewidth": 0, "markersize": 8}
  axes.plot([x], [y], linestyle="", zorder=3, **mark, **style)
