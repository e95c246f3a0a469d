"""results.tex: the rows of a comparison as a table for LaTeX's package booktabs."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from attention_lab.compare.analysis.lengths import Lengths, by_length
from attention_lab.compare.analysis.measures import Metric
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.sentences import estimate_text
from attention_lab.compare.analysis.table import Estimate, Line, lines
from attention_lab.compare.report.latex_text import breakable, escape, width
from attention_lab.compare.report.texts import (
  UNCHECKED,
  extent,
  metrics_of,
  title,
)

# Metrics beside those of predictions, and most of either: the table then fits the width
# of LaTeX's class article, 345 pt.
_COSTS = ("parameters", "step_seconds")
_MOST = 3
_LONGEST = 20  # Characters of a name that is not wrapped.
_NAMES = r"p{0.22\linewidth}"  # Type of a column in which names are wrapped.
_UNCHECKED = "unchecked"

# A mean and its interval, or "".
Cell: TypeAlias = tuple[str, str]


def latex(comparison: Comparison) -> str:
  """Return the content of results.tex.

  The best mean of a metric is bold only if its row is better than the baseline by the
  verdict of the report; rows with different baselines have a best each.
  """
  rows = lines(comparison)
  metrics = _metrics(rows)
  best = {metric.key: _best(rows, metric) for metric in metrics}
  caption = (
    f"{title(comparison)}. {extent(comparison)} Means over seeds with 95 % intervals; "
    "bold: the best of the rows that are better than the baseline."
  )
  if any(line.unchecked for line in rows):
    caption += f" {_UNCHECKED.capitalize()}: {UNCHECKED}."
  body = {
    line.name: [
      _cell(line, metric, line.name in best[metric.key]) for metric in metrics
    ]
    for line in rows
  }
  tables = [_table(caption, _heading(metrics), body)]
  tables += [_of_lengths(found) for found in by_length(comparison)]
  return "\n".join([r"% Needs \usepackage{booktabs}.", *itertools.chain(*tables), ""])


def _of_lengths(found: Lengths) -> list[str]:
  """Return the lines of a table of a metric by length."""
  body = {
    name: [_estimated(found.metric, row.get(length)) for length in found.lengths]
    for name, row in found.rows.items()
  }
  caption = (
    f"{found.metric.heading.capitalize()} by the length of the sequences in tokens. Means "
    f"over seeds with 95 % intervals; {found.metric.better} is better."
  )
  heading = _line(
    [escape(cell) for cell in ("row", *map(found.heading, found.lengths))]
  )
  return _table(caption, [heading], body)


def _table(
  caption: str, heading: Sequence[str], body: Mapping[str, Sequence[Cell]]
) -> list[str]:
  """Return the lines of a table.

  Args:
    caption: its caption.
    heading: the lines of its heading.
    body: name of a row → its cells.
  """
  is_long = max(map(width, body)) > _LONGEST
  to_lines = _wrapped if is_long else _rows
  columns = max(map(len, body.values()))
  return [
    r"\begin{table}",
    r"  \centering\small\setlength{\tabcolsep}{3pt}",
    rf"  \caption{{{escape(caption)}}}",
    rf"  \begin{{tabular}}{{{_NAMES if is_long else 'l'}{'r' * columns}}}",
    r"    \toprule",
    *heading,
    r"    \midrule",
    *(text for name, cells in body.items() for text in to_lines(name, cells)),
    r"    \bottomrule",
    r"  \end{tabular}",
    r"\end{table}",
  ]


def _metrics(rows: Sequence[Line]) -> list[Metric]:
  """Return the metrics of the table; those that rows are judged by come first."""
  found = metrics_of(rows)
  judged = {line.primary for line in rows}
  predicted = [metric for metric in found if metric.predicts]
  predicted.sort(key=lambda metric: metric.key not in judged)
  return predicted[:_MOST] + [metric for metric in found if metric.key in _COSTS]


def _heading(metrics: Sequence[Metric]) -> list[str]:
  """Return the lines of the heading: names on two lines, and units."""
  words = [metric.name.split() for metric in metrics]
  halves = [" ".join(each[:-1]) for each in words], [each[-1] for each in words]
  return [
    _line(["", *map(escape, halves[0])]),
    _line(["row", *map(escape, halves[1])]),
    _line(["", *(escape(_unit(metric)) for metric in metrics)]),
  ]


def _best(rows: Sequence[Line], metric: Metric) -> set[str]:
  """Return the best row of each baseline, of those that are better than it."""
  sign = 1 if metric.better == "lower" else -1
  best: dict[str, tuple[float, str]] = {}
  for line in rows:
    difference = line.differences.get(metric.key)
    if difference is None or difference.verdict != "better":
      continue
    found = sign * line.estimates[metric.key].mean, line.name
    best[line.baseline] = min(found, best.get(line.baseline, found))
  return {name for _, name in best.values()}


def _wrapped(name: str, cells: Sequence[Cell]) -> list[str]:
  """Return a line whose name may be several lines high, with intervals below means."""
  stacks = [
    rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{mean}\\{interval}\end{{tabular}}"
    if interval
    else mean
    for mean, interval in cells
  ]
  return [_line([rf"\raggedright {breakable(name)}", *stacks])]


def _rows(name: str, cells: Sequence[Cell]) -> list[str]:
  """Return a line of means and, if there are any, a smaller one of intervals below."""
  intervals = [interval for _, interval in cells]
  found = [_line([escape(name), *(mean for mean, _ in cells)])]
  return [*found, _line(["", *intervals])] if any(intervals) else found


def _cell(line: Line, metric: Metric, bold: bool) -> Cell:
  absent = _UNCHECKED if metric.predicts and line.unchecked else "–"
  mean, interval = _estimated(metric, line.estimates.get(metric.key), absent)
  return (rf"\textbf{{{mean}}}" if bold else mean), interval


def _estimated(metric: Metric, estimate: Estimate | None, absent: str = "–") -> Cell:
  """Return the cell of an estimate; `absent` without one."""
  if estimate is None:
    return escape(absent), ""
  mean, _, interval = escape(estimate_text(metric, estimate)).partition(" ")
  return mean, rf"{{\scriptsize {interval}}}" if interval else ""


def _unit(metric: Metric) -> str:
  unit = f"({metric.unit}) " if metric.unit else ""
  return unit + ("↓" if metric.better == "lower" else "↑")


def _line(cells: Sequence[str]) -> str:
  text = " & ".join(cells)
  if text.startswith(("[", "*")):  # After the end of a row it would be an argument.
    text = "{}" + text
  return rf"    {text} \\"
