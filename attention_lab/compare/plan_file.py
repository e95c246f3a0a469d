"""compare.json: the rows, seeds and steps of the comparison that a folder holds."""

import os
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from attention_lab import config as configs
from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.margin import margin_from
from attention_lab.config import Config
from attention_lab.errors import UserError
from attention_lab.system.files import write_json
from attention_lab.system.shape import AtLeast, OrNull, read_shaped

FILE = "compare.json"
COSTS = "benchmark.json"  # Beside it, if costs were measured.
# Fields that older versions did not write.
OPTIONAL = ("about", "margin", "command", "tune")


CONTENT = {
  "rows": [
    {
      "name": str,
      "config": dict,
      "parameters": AtLeast(int, 0),
      "matched": str,
      "made_from": str,
      "against?": [str],
    }
  ],
  "seeds": [AtLeast(int, 0)],
  "steps": AtLeast(int, 1),
  "looks": [AtLeast(int, 0)],
  **{f"{name}?": str for name in OPTIONAL},
}
_RECORD = {
  "attention": str,
  "length": AtLeast(int, 1),
  "kind": str,
  "seconds?": OrNull(float),
  "memory_bytes?": OrNull(float),
}
_ROW = {
  **{f"{key}?": float for key, metric in METRICS.items() if metric.measured},
  "rounds_seconds?": [float],
  "step_quartiles?": (float, float),
  "state_bytes?": {int: float},
}
MEASURED = {"records?": [_RECORD], "rows?": {str: _ROW}}


class StoredRow(NamedTuple):
  """A row of the comparison."""

  name: str
  config: Config
  parameters: int
  matched: str
  made_from: str = ""  # Name of the row that a matched row was made of.
  against: tuple[str, ...] = ()  # Rows that it names to be compared with.


class Stored(NamedTuple):
  """The comparison of a folder."""

  rows: Sequence[StoredRow]  # The baseline first.
  seeds: Sequence[int]
  steps: int
  looks: Sequence[int] = ()  # Numbers of seeds at which all results were reported.
  tune: str = ""  # The setting `compare.tune`.
  about: str = ""  # The setting that rows are judged by; "" in files of older versions.
  margin: str = "50%"  # Setting compare.margin.
  command: str = ""  # The command line that made it.


def read(workdir: Path) -> Stored | None:
  """Return the comparison of a folder; None if it holds none, or of an older version."""
  path = workdir / FILE
  if not os.path.exists(path):
    return None
  content = read_shaped(path, CONTENT)
  rows = [
    StoredRow(
      row["name"],
      configs.from_stored(row["config"], path),
      row["parameters"],
      row["matched"],
      row["made_from"],
      tuple(row.get("against") or ()),  # Earlier versions did not store it.
    )
    for row in content["rows"]
  ]
  if len({row.name for row in rows}) < len(rows):
    raise UserError(f"{path}: two of its rows have the same name.")
  if content.get("margin") is not None:
    margin_from(content["margin"], f"{path}: margin ")
  return Stored(
    *(rows, content["seeds"], content["steps"], content["looks"]),
    **{key: content[key] for key in OPTIONAL if content.get(key) is not None},
  )


def read_costs(workdir: Path) -> dict[str, Any] | None:
  """Return the measured costs that a comparison has stored; None if it has none."""
  path = workdir / COSTS
  if not os.path.exists(path):
    return None
  content: dict[str, Any] = read_shaped(path, MEASURED)
  return content


def write(workdir: Path, stored: Stored, command: str) -> None:
  """Write the comparison of a folder, and the command line that made it."""
  rows = [row._asdict() | {"config": row.config.to_dict()} for row in stored.rows]
  content = {
    "command": command,
    "seeds": list(stored.seeds),
    "steps": stored.steps,
    "looks": list(stored.looks),
    "about": stored.about,
    "margin": stored.margin,
    "tune": stored.tune,
    "rows": rows,
  }
  write_json(workdir / FILE, content)


def refuse_other_tuning(workdir: Path, stored: Stored, tune: str) -> None:
  """Raise `UserError` if a comparison was tuned, and this one is not, or the reverse."""
  if bool(stored.tune) == bool(tune):
    return
  advice = f"Type {shlex.quote(f'--tune={stored.tune}')}" if stored.tune else "Omit it"
  raise UserError(
    f"{workdir} holds a comparison {'with' if stored.tune else 'without'} --tune. "
    f"{advice} to extend it, or name another --workdir."
  )


def refuse_other(
  workdir: Path, stored: Stored, rows: Mapping[str, Config], tuned: Collection[str]
) -> None:
  """Raise `UserError` if rows cannot be added to the comparison of a folder.

  Args:
    workdir: the folder.
    stored: its comparison.
    rows: the configurations of the rows by name, the baseline first.
    tuned: settings that tuning chooses, which may differ.
  """
  own = next(iter(rows))
  baseline = next((row.name for row in stored.rows), own)
  if baseline != own:
    raise UserError(
      f"{workdir} holds a comparison with the baseline {baseline!r}, and the baseline of "
      f"this command is {own!r}. List the same settings, the baseline first, to extend "
      f"it, or name another --workdir."
    )
  for row in stored.rows:
    if row.name not in rows:
      continue
    different = configs.differences(row.config, rows[row.name])
    # Whether a run may take more steps is checked for each run.
    for key in ("steps", *tuned):
      different.pop(key, None)
    if different:
      raise UserError(
        f"{workdir} holds a comparison with another row {row.name!r} "
        f"({configs.difference_text(different)}). Type "
        f"{configs.stored_flags(different)} to extend it, or name another --workdir."
      )
