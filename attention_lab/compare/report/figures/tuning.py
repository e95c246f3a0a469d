"""Figures of the results of tuning runs by the value of a setting."""

from collections.abc import Sequence
from typing import Any

from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.tuning import Curve, curves
from attention_lab.compare.analysis.wording import setting_name, value_text
from attention_lab.compare.report.figures.marks import colour
from attention_lab.compare.report.figures.svg import Figure, Series, draw, paint_series


def tuning_curves(comparison: Comparison) -> list[Figure]:
  """Return a figure for each number that was tuned, with a curve for each row."""
  numbers = {row.name: number for number, row in enumerate(comparison.rows)}
  return [
    _figure(f"tuning-{number}", setting, metric, found, numbers)
    for number, ((setting, metric), found) in enumerate(curves(comparison).items())
    if any(curve.points for curve in found)
  ]


def _figure(
  key: str,
  setting: str,
  metric: str,
  found: Sequence[Curve],
  numbers: dict[str, int],
) -> Figure:
  shown = METRICS[metric]
  values = sorted({value for curve in found for value in curve.points})

  def paint(axes: Any) -> None:
    paint_series(axes, [_series(curve, metric, numbers[curve.name]) for curve in found])
    for curve in found:
      if curve.chosen in curve.points:
        axes.scatter(
          [curve.chosen],
          [shown.scale * curve.points[curve.chosen]],
          s=120,
          facecolors="none",
          edgecolors=colour(numbers[curve.name]),
          zorder=4,
        )
    if values[0] > 0 and values[-1] >= 4 * values[0]:
      axes.set_xscale("log")
    axes.set_xticks(values, [value_text(value) for value in values])
    axes.minorticks_off()
    axes.set(xlabel=setting_name(setting), ylabel=shown.heading)

  title = f"Tuning: {shown.name} by {setting_name(setting)}"
  chosen = [f"{curve.name}: {value_text(curve.chosen)} is chosen" for curve in found]
  caption = (
    "Points are means over the seeds of tuning, on held-out training examples; a ring "
    "marks what each row chose."
  )
  alt = f"{title}. {'; '.join(chosen)}."
  return Figure(key, title, draw(key, alt, paint), caption)


def _series(curve: Curve, metric: str, number: int) -> Series:
  scale = METRICS[metric].scale
  return Series(number, [*curve.points], [scale * y for y in curve.points.values()])
