"""A table of a metric by sequence length and by part of the validation split."""

from collections.abc import Mapping, Sequence

import numpy as np


def part_table(
  seeds: Sequence[Mapping[int, Mapping[str, float]]],
) -> list[str]:
  """Return the lines of a table of percentages, as means over seeds; [] without parts.

  It shows whole answers if they were counted, and single tokens otherwise.

  Args:
    seeds: of each run, the metrics by length in tokens.
  """
  keys = [key for measured in seeds[0].values() for key in measured]
  metric = next(
    (name for name in ("sequence_accuracy", "accuracy") if any(_of(name, keys))), None
  )
  if metric is None:
    return []
  parts = list(
    dict.fromkeys(key.removeprefix(f"{metric}/") for key in _of(metric, keys))
  )
  words = {"sequence_accuracy": "fully correct answers", "accuracy": "accuracy"}
  rows = [[f"{words[metric]} (%)", *parts]]
  for length in sorted(seeds[0]):
    row = [f"{length:,} tokens"]
    for name in parts:
      values = [seed[length].get(f"{metric}/{name}", np.nan) for seed in seeds]
      row.append(f"{100 * float(np.mean(values)):.1f}")
    rows.append(row)
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return [
    "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
    for row in rows
  ]


def lengths_of(
  trained: int,
  validation: Mapping[str, float],
  others: Mapping[str, Mapping[str, float]],
) -> dict[int, Mapping[str, float]]:
  """Return the metrics of a run by length.

  Args:
    trained: sequence length of training.
    validation: the metrics at that length; {} if it was not evaluated.
    others: those at other lengths, as summary.json has them.
  """
  found = {int(length): measured for length, measured in others.items()}
  return ({trained: validation} if validation else {}) | found


def _of(metric: str, keys: Sequence[str]) -> list[str]:
  """Return the keys that are of parts and of a metric."""
  return [key for key in keys if key.startswith(f"{metric}/")]
