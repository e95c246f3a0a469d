"""Results by part of the validation split, such as a depth, and by sequence length."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from attention_lab.compare.analysis.lengths import values_of
from attention_lab.compare.analysis.measures import METRICS, Metric
from attention_lab.compare.analysis.record import Comparison, Row
from attention_lab.compare.analysis.table import Estimate, estimate, primary_of, shown


class Parts(NamedTuple):
  """A metric of one row by part and length."""

  row: str
  metric: Metric
  names: Sequence[str]  # The parts, in the order of the dataset.
  lengths: Sequence[int]  # In tokens, increasing.
  cells: Mapping[tuple[str, int], Estimate]  # By part and length, over seeds.


def by_part(comparison: Comparison) -> list[Parts]:
  """Return the results of the rows whose validation split has parts."""
  found = (_of_row(row) for row in comparison.rows)
  return [each for each in found if each is not None]


def _of_row(row: Row) -> Parts | None:
  """Return whole answers by part if they were counted, or the row's primary metric."""
  for key in ("sequence_accuracy", primary_of(row)):
    names = dict.fromkeys(
      name.removeprefix(f"{key}/")
      for run in shown(row)
      for name in run.summary.get("validation") or {}
      if name.startswith(f"{key}/")
    )
    if names:
      break
  else:
    return None
  metric, cells = METRICS[key], {}
  for name in names:
    by_seed = {run.seed: values_of(run, f"{key}/{name}") for run in shown(row)}
    for run in shown(row):  # Without other lengths, that of training is the only one.
      trained, measured = run.summary.get("sequence_length"), run.summary["validation"]
      if trained is not None and f"{key}/{name}" in measured:
        by_seed[run.seed].setdefault(trained, float(measured[f"{key}/{name}"]))
    for length in {n for values in by_seed.values() for n in values}:
      values = {s: found[length] for s, found in by_seed.items() if length in found}
      cells[name, length] = estimate(metric, values)
  lengths = sorted({length for _, length in cells})
  return Parts(row.name, metric, list(names), lengths, cells)
