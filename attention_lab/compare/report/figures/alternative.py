"""Alternative texts of figures: what a reader would see in them, in words."""

from collections.abc import Sequence
from typing import Literal

from attention_lab.compare.analysis.wording import counted
from attention_lab.compare.report.figures.svg import Series

MOST = 8  # Series that a text describes; a longer one is not listened to.


def course(
  title: str,
  names: Sequence[str],
  series: Sequence[Series],
  form: str,
  better: Literal["lower", "higher", ""] = "",
) -> str:
  """Return the first and last value of each series, and which ends best.

  Args:
    title: the figure's title.
    names: the names of the series.
    series: the series, each with at least one point.
    form: format specification of a value.
    better: whether lower or higher is better; "" if neither is.
  """
  each = [_one(n, s, form) for n, s in zip(names[:MOST], series[:MOST], strict=True)]
  text = f"{title}. {'; '.join(each)}"
  if len(series) > MOST:
    text += f"; and {counted(len(series) - MOST, 'other')}"
  if better and len(series) > 1:
    sign = 1 if better == "lower" else -1
    best = min(range(len(series)), key=lambda i: sign * series[i].y[-1])
    word = "Lowest" if better == "lower" else "Highest"
    text += f". {word} at the end: {names[best]}"
  return text + "."


def _one(name: str, series: Series, form: str) -> str:
  first, last = (f"{series.y[i]:{form}} at {series.x[i]:,.4g}" for i in (0, -1))
  return f"{name}: from {first} to {last}" if len(series.x) > 1 else f"{name}: {first}"
