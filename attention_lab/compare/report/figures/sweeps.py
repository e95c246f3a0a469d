"""How a setting acts on each attention: its loss against the setting's value."""

import math
from typing import Any

from attention_lab.compare.analysis.table import Curve, Sweep
from attention_lab.compare.report.figures.palette import Palette
from attention_lab.compare.report.figures.svg import Figure, Series, draw, paint_series


def sweep(found: Sweep, key: str, palette: Palette) -> Figure | None:
  """Loss against the value with the 95 % interval; None where nothing has finished.

  Args:
    found: the sweep.
    key: of the figure; unique on the page.
    palette: the colours of the names.
  """
  series = [
    one
    for curve in found.curves
    if (one := _series(curve, palette.index(curve.name))).x
  ]
  if not series:
    return None
  values = sorted({value for curve in found.curves for value in curve.points})

  def paint(axes: Any) -> None:
    paint_series(axes, series, marker="o")
    if values[0] > 0 and values[-1] >= 4 * values[0]:
      axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()
    axes.set(xlabel=found.setting, ylabel="validation loss (nats)")

  title = f"Validation loss against {found.setting}"
  names = ", ".join(curve.name for curve in found.curves)
  caption = "Means over the seeds; bands are the 95 % intervals of the means."
  return Figure(key, title, draw(key, f"{title}, of {names}.", paint), caption)


def _series(curve: Curve, index: int) -> Series:
  points = {
    value: at
    for value, at in curve.points.items()
    if at is not None and math.isfinite(at.mean)
  }
  low = [at.low for at in points.values() if at.low is not None]
  high = [at.high for at in points.values() if at.high is not None]
  if len(low) < len(points):  # A band through some of the values would mislead.
    low, high = [], []
  return Series(index, [*points], [at.mean for at in points.values()], low, high)
