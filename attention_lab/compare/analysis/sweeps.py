"""Sweeps: results by the values of one or two numeric settings, for each attention."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from attention_lab.compare.analysis.pairs import value
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


class Grid(NamedTuple):
  """Rows of one attention by the values of two numeric settings."""

  name: str
  settings: tuple[str, str]  # Of the horizontal and of the vertical axis.
  rows: Mapping[tuple[float, float], int]  # Values → index of the row.


def sweeps(comparison: Comparison) -> list[Sweep]:
  """Return a sweep for each numeric setting in which unmatched rows differ.

  Matched rows form separate curves, because matching changes another setting, too.
  """
  found = []
  for setting in sorted({key for row in comparison.rows for key in row.settings}):
    curves: dict[str, dict[float, Estimate | None]] = {}
    for row in comparison.rows:
      at = value(comparison, row, setting)
      if _is_number(at):
        points = curves.setdefault(_name_without(row, [setting], comparison), {})
        points[at] = estimates(row).get("loss")
    drawn = [
      Curve(name, dict(sorted(points.items())))
      for name, points in curves.items()
      if len(points) > 1
    ]
    if drawn and len(_requested_values(setting, comparison)) > 1:
      found.append(Sweep(setting, drawn))
  return found


def grids(comparison: Comparison) -> list[Grid]:
  """Return a grid for each pair of numeric settings that vary together.

  Each of its two settings has at least two values. Matched rows are left out.
  """
  rows = [(i, row) for i, row in enumerate(comparison.rows) if not row.matched]
  varied = sorted({key for _, row in rows for key in row.settings})
  found = []
  for pair in itertools.combinations(varied, 2):
    cells: dict[str, dict[tuple[float, float], int]] = {}
    for index, row in rows:
      x, y = (value(comparison, row, key) for key in pair)
      if _is_number(x) and _is_number(y):
        name = _name_without(row, pair, comparison)
        cells.setdefault(name, {}).setdefault((x, y), index)
    found += [
      Grid(name, pair, by_values)
      for name, by_values in cells.items()
      if all(len({at[axis] for at in by_values}) > 1 for axis in (0, 1))
    ]
  return found


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)


def _requested_values(setting: str, comparison: Comparison) -> set[Any]:
  """Return the values of a setting in unmatched rows."""
  return {value(comparison, row, setting) for row in comparison.rows if not row.matched}


def _name_without(row: Row, settings: Sequence[str], comparison: Comparison) -> str:
  """Return the name of a row without some of its settings."""
  left_out = {*settings, "attention"}
  others = {k: v for k, v in row.settings.items() if k not in left_out}
  attention = value(comparison, row, "attention")
  names = [] if attention is None else [str(attention)]
  names += [setting_text(key, value) for key, value in sorted(others.items())]
  return ", ".join(names + ["matched"] * bool(row.matched)) or "all"
