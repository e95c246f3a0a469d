"""Figures of the validation loss during training and of the accuracy at other lengths.

They show means over seeds, of finished runs with a passed leak check, as in the table.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from attention_lab.compare.analysis.record import Comparison, Row, Run
from attention_lab.compare.analysis.table import shown
from attention_lab.compare.report.figures.alternative import course
from attention_lab.compare.report.figures.svg import Figure, Series, draw, paint_series

BAND = "Lines are means over seeds; bands span the lowest to the highest seed."
EARLY = 0.2  # Initial fraction of training whose losses may exceed the axis.


def curves(comparison: Comparison) -> list[Figure]:
  """Return the validation loss by steps, seconds and training FLOPs, where known."""
  axes = (
    ("steps", "steps", "", _per_step),
    (
      "seconds",
      "training time (s)",
      " The time assumes that all steps of a run take equally long.",
      _time,
    ),
    (
      "flops",
      "training FLOPs",
      " FLOPs are those of the matrix products in the formulas, whatever a kernel skips "
      "or recomputes.",
      _flops,
    ),
  )
  found = (_curve(comparison, *axis) for axis in axes)
  return [figure for figure in found if figure]


def lengths(comparison: Comparison) -> list[Figure]:
  """Return the accuracy by evaluated length; no figure if it was not measured."""
  series = [
    _band(index, by_x)
    for index, row in enumerate(comparison.rows)
    if (by_x := _accuracies(row))
  ]
  if not series:
    return []

  def paint(axes: Any) -> None:
    paint_series(axes, series)
    ticks = sorted({x for one in series for x in one.x})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="length (tokens)", ylabel="top-1 accuracy (%)")

  title = "Accuracy by length"
  svg = draw(
    "lengths", course(title, _names(comparison, series), series, ".1f", "higher"), paint
  )
  return [Figure("lengths", title, svg, f"On the validation split. {BAND}")]


def _curve(
  comparison: Comparison,
  key: str,
  label: str,
  remark: str,
  unit: Callable[[Mapping[str, Any]], float | None],
) -> Figure | None:
  series = []
  for index, row in enumerate(comparison.rows):
    runs = shown(row)
    units = [unit(run.summary) for run in runs]
    known = [each for each in units if each is not None]
    if runs and len(known) == len(runs) and (losses := measured(runs, "loss")):
      mean = float(np.mean(known))
      series += [_band(index, {step * mean: at for step, at in losses.items()})]
  if not series:
    return None
  top, is_cut = _top(series)

  def paint(axes: Any) -> None:
    paint_series(axes, series)
    axes.set(xlabel=label, ylabel="validation loss (nats)")
    axes.set_xlim(left=0)
    axes.set_ylim(top=top)

  title = f"Validation loss by {label.partition(' (')[0]}"
  svg = draw(
    f"loss-{key}",
    course(title, _names(comparison, series), series, ".4f", "lower"),
    paint,
  )
  cut = " Losses in the first fifth of training may exceed the axis." * is_cut
  return Figure(f"loss-{key}", title, svg, BAND + remark + cut)


def measured(runs: Sequence[Run], key: str) -> dict[int, list[float]]:
  """Return a validation metric of all runs at the steps that all runs have."""
  by_run = [
    {
      entry["step"]: entry[key]
      for entry in run.curve
      if entry.get("split") == "validation" and _is_number(entry.get(key))
    }
    for run in runs
  ]
  steps = sorted(set.intersection(*(set(found) for found in by_run)))
  return {step: [found[step] for found in by_run] for step in steps}


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and math.isfinite(value)


def _accuracies(row: Row) -> dict[float, list[float]]:
  """Return the accuracies in per cent at the lengths that all seeds have."""
  by_run = [run.summary.get("lengths") or {} for run in shown(row)]
  if not by_run:
    return {}
  common = set.intersection(*(set(found) for found in by_run))
  return {
    float(length): [100 * found[length]["accuracy"] for found in by_run]
    for length in sorted(common, key=float)
  }


def _band(index: int, by_x: Mapping[float, Sequence[float]]) -> Series:
  values = [np.array(at, float) for at in by_x.values()]
  several = len(values[0]) > 1
  low = [float(at.min()) for at in values] if several else []
  high = [float(at.max()) for at in values] if several else []
  return Series(index, [*by_x], [float(at.mean()) for at in values], low, high)


def _top(series: Sequence[Series]) -> tuple[float | None, bool]:
  """Return the top of the loss axis (None: automatic), and whether losses exceed it.

  The axis fits the losses after the first `EARLY` of training.
  """
  late: list[float] = []
  every: list[float] = []
  for one in series:
    highest = one.high if len(one.high) else one.y
    every += highest
    late += [y for x, y in zip(one.x, highest, strict=True) if x >= EARLY * one.x[-1]]
  lowest = min(min(one.low if len(one.low) else one.y) for one in series)
  top = max(late) + 0.08 * (max(late) - lowest)
  return (top, True) if max(every) > top > lowest else (None, False)


def _names(comparison: Comparison, series: Sequence[Series]) -> list[str]:
  return [comparison.rows[one.number].name for one in series]


def _per_step(summary: Mapping[str, Any]) -> float | None:
  return 1.0


def _time(summary: Mapping[str, Any]) -> float | None:
  seconds = summary.get("seconds")
  return None if seconds is None else seconds / summary["steps"]


def _flops(summary: Mapping[str, Any]) -> float | None:
  return summary.get("flops_per_step")
