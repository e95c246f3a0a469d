"""Sweeps: the loss by the value of a numeric setting, for each attention."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from attention_lab.compare.analysis.record import Comparison, Row
from attention_lab.compare.analysis.table import Estimate, estimates
from attention_lab.compare.analysis.wording import setting_text


class Curve(NamedTuple):
  """Loss of one attention by the value of a setting, with the other settings equal."""

  name: str
  points: Mapping[
    float, Estimate | None
  ]  # Increasing value → loss; None: no finished run.


class Sweep(NamedTuple):
  """Curves of every attention for one numeric setting."""

  setting: str  # For example "train.learning_rate".
  curves: Sequence[Curve]


def sweeps(comparison: Comparison) -> list[Sweep]:
  """Return a sweep for each numeric setting in which unmatched rows differ.

  Matched rows form separate curves, because matching changes another setting, too.
  """
  found = []
  for setting in sorted({key for row in comparison.rows for key in row.settings}):
    curves: dict[str, dict[float, Estimate | None]] = {}
    for row in comparison.rows:
      value = row.settings.get(setting, comparison.baseline.get(setting))
      if isinstance(value, int | float) and not isinstance(value, bool):
        points = curves.setdefault(_curve_name(row, setting, comparison), {})
        points[value] = estimates(row).get("loss")
    drawn = [
      Curve(name, dict(sorted(points.items())))
      for name, points in curves.items()
      if len(points) > 1
    ]
    if drawn and len(_requested_values(setting, comparison)) > 1:
      found.append(Sweep(setting, drawn))
  return found


def _requested_values(setting: str, comparison: Comparison) -> set[Any]:
  """Return the values of a setting in unmatched rows."""
  return {
    row.settings.get(setting, comparison.baseline.get(setting))
    for row in comparison.rows
    if not row.matched
  }


def _curve_name(row: Row, setting: str, comparison: Comparison) -> str:
  """Return the name of a row without one of its settings."""
  others = {k: v for k, v in row.settings.items() if k not in (setting, "attention")}
  attention = row.settings.get("attention", comparison.baseline.get("attention"))
  names = [] if attention is None else [str(attention)]
  names += [setting_text(key, value) for key, value in sorted(others.items())]
  return ", ".join(names + ["matched"] * bool(row.matched)) or "all"
