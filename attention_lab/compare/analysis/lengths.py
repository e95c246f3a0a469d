"""Results at other sequence lengths than that of training."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from attention_lab.compare.analysis.measures import METRICS, Metric
from attention_lab.compare.analysis.record import Comparison, Row, Run
from attention_lab.compare.analysis.table import Estimate, estimate, primary_of, shown


class Lengths(NamedTuple):
  """A metric by length, of rows that were trained at the same length."""

  metric: Metric  # The one that the rows' dataset is judged by.
  trained: int | None  # Length of training; None if runs did not record it.
  lengths: Sequence[int]  # Increasing, in tokens.
  rows: Mapping[str, Mapping[int, Estimate]]  # Row → length → estimate.

  def heading(self, length: int) -> str:
    """Return a length as text, marked if it is that of training."""
    return f"{length:,}" + " (trained)" * (length == self.trained)


def by_length(comparison: Comparison) -> list[Lengths]:
  """Return the results of the rows that were evaluated at other lengths.

  Rows with another metric, or another length of training, are a table of their own.
  """
  groups: dict[tuple[str, int | None], dict[str, dict[int, Estimate]]] = {}
  for row in comparison.rows:
    if found := _of_row(row):
      groups.setdefault((primary_of(row), _trained(row)), {})[row.name] = found
  return [
    Lengths(
      METRICS[key], trained, sorted({n for row in rows.values() for n in row}), rows
    )
    for (key, trained), rows in groups.items()
  ]


def values_of(run: Run, key: str) -> dict[int, float]:
  """Return a run's values of a metric by length; {} without other lengths."""
  found = {
    int(length): float(measured[key])
    for length, measured in (run.summary.get("lengths") or {}).items()
    if key in measured
  }
  trained = run.summary.get("sequence_length")
  at_trained = (run.summary.get("validation") or {}).get(key)
  if found and trained is not None and at_trained is not None:
    found.setdefault(trained, float(at_trained))
  return found


def _of_row(row: Row) -> dict[int, Estimate]:
  """Return the estimates of a row's metric by length, over its seeds."""
  key = primary_of(row)
  by_seed = {run.seed: values_of(run, key) for run in shown(row)}
  return {
    length: estimate(
      METRICS[key],
      {s: found[length] for s, found in by_seed.items() if length in found},
    )
    for length in sorted({n for found in by_seed.values() for n in found})
  }


def _trained(row: Row) -> int | None:
  return next((run.summary.get("sequence_length") for run in shown(row)), None)
