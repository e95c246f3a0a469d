"""What the tuning runs of a row say, in words."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.analysis.record import Comparison, Tuned
from attention_lab.compare.analysis.wording import (
  counted,
  listed,
  setting_name,
  setting_text,
)


def settings_text(settings: Mapping[str, Any]) -> str:
  """Return settings with their values: "learning rate 0.003 and dropout 0.1"."""
  return listed([setting_text(key, value) for key, value in settings.items()])


def choice_text(tuned: Tuned) -> str:
  """Return what was chosen for a row, and what to know about it, without a full stop."""
  chosen = settings_text(tuned.settings[tuned.chosen])
  scores = [score for each in tuned.scores[tuned.metric] for score in each]
  failed = sum(not math.isfinite(score) for score in scores)
  if failed == len(scores):
    return f"all {counted(failed, 'tuning run')} failed; it keeps {chosen}"
  text = chosen + "".join(f", {note}" for note in edges(tuned).values())
  return text + f"; {counted(failed, 'tuning run')} failed" * bool(failed)


def edges(tuned: Tuned) -> dict[str, str]:
  """Return a note for each setting whose chosen number is at the edge of the grid."""
  notes = {}
  for key, value in tuned.settings[tuned.chosen].items():
    tried = {each[key] for each in tuned.settings}
    if len(tried) < 2 or not all(map(_is_number, tried)):
      continue
    for end, name, beyond in (
      (min(tried), "smallest", "smaller"),
      (max(tried), "largest", "larger"),
    ):
      if value == end:
        notes[key] = (
          f"the {name} {setting_name(key)} of the grid: {beyond} ones may be better"
        )
  return notes


def means(tuned: Tuned) -> list[float]:
  """Return the mean metric of each combination; NaN if a run failed."""
  return [sum(each) / len(each) for each in tuned.scores[tuned.metric]]


class Curve(NamedTuple):
  """Results of a row's tuning runs by the value of one number."""

  name: str  # Of the row.
  metric: str
  points: Mapping[float, float]  # Increasing value → the best mean metric with it.
  chosen: float


def curves(comparison: Comparison) -> dict[tuple[str, str], list[Curve]]:
  """Return the curves of the rows, by setting and metric.

  Other settings that were tuned have, at each point, the values that are best with it.
  """
  found: dict[tuple[str, str], list[Curve]] = {}
  for row in comparison.rows:
    for key in row.chosen if row.tuned else ():
      assert row.tuned is not None
      values = {each[key] for each in row.tuned.settings}
      if len(values) > 1 and all(map(_is_number, values)):
        curve = _curve(row.name, key, row.tuned)
        found.setdefault((key, curve.metric), []).append(curve)
  return found


def _curve(name: str, key: str, tuned: Tuned) -> Curve:
  lower = METRICS[tuned.metric].better == "lower"
  points: dict[float, float] = {}
  for settings, mean in zip(tuned.settings, means(tuned), strict=True):
    if math.isfinite(mean):
      known = points.setdefault(settings[key], mean)
      points[settings[key]] = min(known, mean) if lower else max(known, mean)
  chosen = tuned.settings[tuned.chosen][key]
  return Curve(name, tuned.metric, dict(sorted(points.items())), chosen)


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)
