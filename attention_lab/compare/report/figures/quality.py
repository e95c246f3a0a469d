"""Rows on one dataset, whose quality can be compared, with the metric it is judged by."""

from collections.abc import Sequence
from typing import NamedTuple

from attention_lab.compare.analysis.measures import METRICS, Metric
from attention_lab.compare.analysis.pairs import value
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.table import Line


class Judged(NamedTuple):
  """Rows on one dataset that have its metric."""

  suffix: str  # Of titles: " on copy"; "" if there is one dataset.
  metric: Metric
  rows: Sequence[tuple[int, Line]]  # Index and results of each row.


def judged(comparison: Comparison, lines: Sequence[Line]) -> list[Judged]:
  """Return the rows with a value of their dataset's metric, by dataset."""
  groups: dict[tuple[str, str], list[tuple[int, Line]]] = {}
  for index, line in enumerate(lines):
    dataset = str(value(comparison, comparison.rows[index], "dataset"))
    if line.primary in line.estimates:
      groups.setdefault((dataset, line.primary), []).append((index, line))
  several = len({dataset for dataset, _ in groups}) > 1
  return [
    Judged(f" on {dataset}" * several, METRICS[key], rows)
    for (dataset, key), rows in groups.items()
  ]
