"""results.tex: the rows of a comparison as a table for LaTeX's package booktabs."""

import itertools
import re
from collections.abc import Mapping, Sequence

from attention_lab.compare.analysis.lengths import Lengths, by_length
from attention_lab.compare.analysis.measures import Metric
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.sentences import estimate_text
from attention_lab.compare.analysis.table import Estimate, Line, lines
from attention_lab.compare.report.texts import (
  UNCHECKED,
  extent,
  metrics_of,
  title,
)

# Metrics beside those of predictions; others would make the table wider than a page.
_COSTS = ("parameters", "step_seconds")
_LONGEST = 24  # Characters of a name that is not wrapped.
_ESCAPES = {
  "\\": r"\textbackslash{}",
  "~": r"\textasciitilde{}",
  "^": r"\textasciicircum{}",
  "<": r"\textless{}",
  ">": r"\textgreater{}",
  "|": r"\textbar{}",
  "–": "--",
  "↑": r"$\uparrow$",
  "↓": r"$\downarrow$",
} | {character: f"\\{character}" for character in "&%$#_{}"}


def latex(comparison: Comparison) -> str:
  """Return the content of results.tex.

  The best mean of a metric is bold only if its row is better than the baseline by the
  verdict of the report; rows with different baselines have a best each.
  """
  rows = lines(comparison)
  metrics = [m for m in metrics_of(rows) if m.predicts or m.key in _COSTS]
  best = {metric.key: _best(rows, metric) for metric in metrics}
  body = [text for line in rows for text in _rows(line, metrics, best)]
  caption = (
    f"{title(comparison)}. {extent(comparison)} Means over seeds with 95 % intervals; "
    "bold: the best of the rows that are better than the baseline."
  )
  heads = [["row", *(m.name for m in metrics)], ["", *(_unit(m) for m in metrics)]]
  tables = [_table(caption, [line.name for line in rows], heads, body)]
  tables += [_of_lengths(found) for found in by_length(comparison)]
  return "\n".join([r"% Needs \usepackage{booktabs}.", *itertools.chain(*tables), ""])


def _of_lengths(found: Lengths) -> list[str]:
  """Return the lines of a table of a metric by length."""
  body = [
    text
    for name, row in found.rows.items()
    for text in _filled(
      name, [_estimated(found.metric, row.get(length)) for length in found.lengths]
    )
  ]
  caption = (
    f"{found.metric.heading.capitalize()} by the length of the sequences in tokens. Means "
    f"over seeds with 95 % intervals; {found.metric.better} is better."
  )
  heads = [["row", *map(found.heading, found.lengths)]]
  return _table(caption, list(found.rows), heads, body)


def _table(
  caption: str,
  names: Sequence[str],
  heads: Sequence[Sequence[str]],
  body: Sequence[str],
) -> list[str]:
  """Return the lines of a table.

  Args:
    caption: its caption.
    names: the names of its rows.
    heads: the cells of each line of its heading.
    body: its other lines.
  """
  return [
    r"\begin{table}",
    r"  \centering\small",
    rf"  \caption{{{escape(caption)}}}",
    rf"  \begin{{tabular}}{{{_names(names)}{'r' * (len(heads[0]) - 1)}}}",
    r"    \toprule",
    *(_line([escape(cell) for cell in head]) for head in heads),
    r"    \midrule",
    *body,
    r"    \bottomrule",
    r"  \end{tabular}",
    r"\end{table}",
  ]


def _names(names: Sequence[str]) -> str:
  """Return the type of the column of names, in which long names are wrapped."""
  is_long = max(map(len, names)) > _LONGEST
  return r"p{0.25\linewidth}" if is_long else "l"


def escape(text: str) -> str:
  """Return text on one line with LaTeX's special characters escaped."""
  text = " ".join(text.split())
  return re.sub(r"[\\~^<>|–↑↓&%$#_{}]", lambda match: _ESCAPES[match[0]], text)


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


def _rows(
  line: Line, metrics: Sequence[Metric], best: Mapping[str, set[str]]
) -> list[str]:
  """Return the lines of a row; the best means are bold."""
  cells = []
  for metric in metrics:
    absent = UNCHECKED if metric.predicts and line.unchecked else "–"
    mean, interval = _estimated(metric, line.estimates.get(metric.key), absent)
    is_best = line.name in best[metric.key]
    cells.append((rf"\textbf{{{mean}}}" if is_best else mean, interval))
  return _filled(line.name, cells)


def _filled(name: str, cells: Sequence[tuple[str, str]]) -> list[str]:
  """Return a row's line of means and, if there are any, a smaller one of intervals."""
  intervals = [interval for _, interval in cells]
  found = [_line([escape(name), *(mean for mean, _ in cells)])]
  return [*found, _line(["", *intervals])] if any(intervals) else found


def _estimated(
  metric: Metric, estimate: Estimate | None, absent: str = "–"
) -> tuple[str, str]:
  """Return the mean and its interval, or ""; `absent` and "" without an estimate."""
  if estimate is None:
    return escape(absent), ""
  mean, _, interval = escape(estimate_text(metric, estimate)).partition(" ")
  return mean, rf"{{\scriptsize {interval}}}" if interval else ""


def _unit(metric: Metric) -> str:
  unit = f"({metric.unit}) " if metric.unit else ""
  return unit + ("↓" if metric.better == "lower" else "↑")


def _line(cells: Sequence[str]) -> str:
  return "    " + " & ".join(cells) + r" \\"
