"""Figures of the validation loss by the value of a setting."""

import math
from typing import Any

from attention_lab.compare.analysis.sweeps import Curve, Sweep
from attention_lab.compare.report.figures.palette import Palette
from attention_lab.compare.report.figures.svg import Figure, Series, draw, paint_series


def sweep(found: Sweep, key: str, palette: Palette) -> Figure | None:
  """Return the loss by value with 95 % intervals; None if no run has finished.

  Args:
    found: the sweep.
    key: id of the figure, unique on the page.
    palette: the colours of the names.
  """
  by_name = {
    curve.name: one
    for curve in found.curves
    if (one := _series(curve, palette.index(curve.name))).x
  }
  if not by_name:
    return None
  series = list(by_name.values())
  values = sorted({value for curve in found.curves for value in curve.points})

  def paint(axes: Any) -> None:
    paint_series(axes, series)
    if values[0] > 0 and values[-1] >= 4 * values[0]:
      axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()
    axes.set(xlabel=found.setting, ylabel="validation loss (nats)")

  title = f"Validation loss by {found.setting}"
  caption = "Points are means over seeds; bands are their 95 % intervals."
  lowest = {name: min(zip(one.y, one.x, strict=True)) for name, one in by_name.items()}
  results = [f"{name}: lowest {y:.4f} at {x:g}" for name, (y, x) in lowest.items()]
  alt = f"{title}. {'; '.join(results)}."
  return Figure(key, title, draw(key, alt, paint), caption)


def _series(curve: Curve, index: int) -> Series:
  points = {
    value: at
    for value, at in curve.points.items()
    if at is not None and math.isfinite(at.mean)
  }
  low = [at.low for at in points.values() if at.low is not None]
  high = [at.high for at in points.values() if at.high is not None]
  if len(low) < len(points):  # A band over a part of the values would mislead.
    low, high = [], []
  return Series(index, [*points], [at.mean for at in points.values()], low, high)
