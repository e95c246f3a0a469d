"""results.tex: the rows of a comparison as a table for LaTeX's package booktabs."""

from collections.abc import Mapping, Sequence

from attention_lab.compare.analysis.measures import Metric
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.sentences import estimate_text
from attention_lab.compare.analysis.table import Line, lines
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


def latex(comparison: Comparison) -> str:
  """Return the content of results.tex.

  The best mean of a metric is bold only if its row is better than the baseline by the
  verdict of the report; rows with different baselines have a best each.
  """
  rows = lines(comparison)
  metrics = _metrics(rows)
  best = {metric.key: _best(rows, metric) for metric in metrics}
  is_long = max(width(line.name) for line in rows) > _LONGEST
  to_lines = _wrapped if is_long else _rows
  body = [text for line in rows for text in to_lines(line, metrics, best)]
  caption = (
    f"{title(comparison)}. {extent(comparison)} Means over seeds with 95 % intervals; "
    "bold: the best of the rows that are better than the baseline."
  )
  if any(line.unchecked for line in rows):
    caption += f" {_UNCHECKED.capitalize()}: {UNCHECKED}."
  return "\n".join(
    [
      r"% Needs \usepackage{booktabs}.",
      r"\begin{table}",
      r"  \centering\small\setlength{\tabcolsep}{3pt}",
      rf"  \caption{{{escape(caption)}}}",
      rf"  \begin{{tabular}}{{{_NAMES if is_long else 'l'}{'r' * len(metrics)}}}",
      r"    \toprule",
      *_heading(metrics),
      r"    \midrule",
      *body,
      r"    \bottomrule",
      r"  \end{tabular}",
      r"\end{table}",
      "",
    ]
  )


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


def _wrapped(
  line: Line, metrics: Sequence[Metric], best: Mapping[str, set[str]]
) -> list[str]:
  """Return a line whose name may be several lines high, with intervals below means."""
  cells = [_cell(line, metric, line.name in best[metric.key]) for metric in metrics]
  stacks = [
    rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{mean}\\{interval}\end{{tabular}}"
    if interval
    else mean
    for mean, interval in cells
  ]
  return [_line([rf"\raggedright {breakable(line.name)}", *stacks])]


def _rows(
  line: Line, metrics: Sequence[Metric], best: Mapping[str, set[str]]
) -> list[str]:
  """Return a line of means and, if there are any, a smaller one of intervals below."""
  cells = [_cell(line, metric, line.name in best[metric.key]) for metric in metrics]
  intervals = [interval for _, interval in cells]
  found = [_line([escape(line.name), *(mean for mean, _ in cells)])]
  return [*found, _line(["", *intervals])] if any(intervals) else found


def _cell(line: Line, metric: Metric, bold: bool) -> tuple[str, str]:
  """Return the mean and its interval, or ""."""
  estimate = line.estimates.get(metric.key)
  if estimate is None:
    return escape(_UNCHECKED if metric.predicts and line.unchecked else "–"), ""
  mean, _, interval = escape(estimate_text(metric, estimate)).partition(" ")
  mean = rf"\textbf{{{mean}}}" if bold else mean
  return mean, rf"{{\scriptsize {interval}}}" if interval else ""


def _unit(metric: Metric) -> str:
  unit = f"({metric.unit}) " if metric.unit else ""
  return unit + ("↓" if metric.better == "lower" else "↑")


def _line(cells: Sequence[str]) -> str:
  return "    " + " & ".join(cells) + r" \\"
