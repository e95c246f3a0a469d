"""Cells of a comparison: a cell is the run of one row with one seed, in its own folder."""

import hashlib
import itertools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from attention_lab import config as configs
from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.analysis.record import Run
from attention_lab.run import folder as run_folder
from attention_lab.run.metrics_file import records
from attention_lab.system.code_hash import changes, digest
from attention_lab.system.files import write_file
from attention_lab.system.regular import no_follow, read_regular, refuse_links_between
from attention_lab.system.shape import AtLeast, Either, OrNull, read_shaped

LOG_TAIL = 65_536  # Bytes at the end of a log that are searched for an error.
LONGEST_NAME = 60  # Characters.
DATA = "the data"  # Stands for the data among the names of changed files.
CHOICE = "the choice of tuning"  # Stands for the settings that tuning chose.
REPLACED = "replaced"  # Folder of the runs that were trained anew.

_FIGURES = {str: Either(float, {"value": float})}  # Of BLEU, with its signature.
_NUMBERS = (
  *("parameters", "seconds", "tokens_per_second", "compile_seconds", "flops_per_step"),
  *("flops_per_second", "utilisation", "memory_bytes", "above_best"),
)
# The shape of summary.json.
SHAPE = {
  "steps?": AtLeast(int, 0),
  "sequence_length?": AtLeast(int, 1),
  **{f"{name}?": str for name in ("attention", "position", "dataset", "leak_check")},
  **{f"{name}?": OrNull(float) for name in _NUMBERS},
  "train?": _FIGURES,
  "validation?": OrNull(_FIGURES),
  "lengths?": OrNull({int: _FIGURES}),
  "primary?": frozenset(METRICS),
  "guess?": OrNull({str: float}),
}


class Origin(NamedTuple):
  """Code and data that the numbers of a cell depend on, besides its configuration."""

  code: Mapping[str, str]  # From `code_hash.used_code`.
  data: str  # Fingerprint of the dataset.
  tuned: Mapping[str, Any] = {}  # Settings that tuning chose.


def folder(workdir: Path, row: str, seed: int) -> Path:
  """Return the folder of a cell's run; its log and its error are stored next to it."""
  return workdir / "cells" / folder_name(row) / f"seed{seed}"


def folder_name(row: str) -> str:
  """Return a readable folder name for a row, different for every row."""
  safe = re.sub(r"[^\w.+-]+", "-", row.replace(", ", "-").replace(" ", "_")).strip("-")
  if re.fullmatch(r"[\w.+, -]+", row) and len(safe) <= LONGEST_NAME:
    return safe
  return f"{safe[:LONGEST_NAME]}-{hashlib.sha256(row.encode()).hexdigest()[:6]}"


def summary(cell: Path) -> dict[str, Any]:
  """Return the content of a run's summary.json; empty until the run has finished."""
  path = cell / run_folder.SUMMARY
  if not os.path.exists(path):
    return {}
  content: dict[str, Any] = read_shaped(path, SHAPE)
  return content


def finished(cell: Path, steps: int, origin: Origin | None = None) -> bool:
  """Return whether the run has taken `steps` steps and written its summary.

  Args:
    cell: the run's folder.
    steps: number of steps.
    origin: code and data that the run must have had; None for any.
  """
  if summary(cell).get("steps", 0) < steps:
    return False
  return origin is None or not changed(cell, origin)


def changed(cell: Path, origin: Origin) -> list[str]:
  """Return the names of changed files, `DATA` and `CHOICE`, since a cell's run began.

  Code that was not recorded, as by an earlier version, counts as equal.
  """
  codes = run_folder.recorded_codes(cell)
  if not codes:
    return []
  known = [code for code in codes if code is not None]
  found = {name for code in known for name in changes(code, origin.code)}
  other_data = run_folder.recorded_data(cell) != origin.data
  return [*sorted(found), *[DATA] * other_data, *[CHOICE] * _chosen_anew(cell, origin)]


def _chosen_anew(cell: Path, origin: Origin) -> bool:
  """Return whether tuning has chosen other settings than those of a cell's run."""
  if not origin.tuned:
    return False
  stored = dict(configs.flatten(run_folder.stored_config(cell) or {}))
  return any(stored.get(key) != value for key, value in origin.tuned.items())


def set_aside(cell: Path) -> None:
  """Move a cell's run to the folder `REPLACED`, so that it can start anew.

  The run moves by one rename: whenever this process is killed, a cell has all of an old
  run or nothing of it.
  """
  folder = cell.parents[2] / REPLACED / cell.parent.name
  for path in (cell, folder):
    refuse_links_between(cell.parents[2], path)
  for path in cell.parent.glob(f"{cell.name}.maps-*.npz"):
    path.unlink(missing_ok=True)
  folder.mkdir(parents=True, exist_ok=True)
  numbers = itertools.count(1)
  paths = (folder / f"{cell.name}-{number}" for number in numbers)
  os.rename(cell, next(path for path in paths if not os.path.exists(path)))


def curve(cell: Path) -> list[dict[str, Any]]:
  """Return the records that metrics.jsonl has so far."""
  return records(cell / run_folder.METRICS)


def result(cell: Path, seed: int, error: str = "") -> Run:
  """Return the record of a finished run, or of a failed one.

  Args:
    cell: the run's folder.
    seed: its seed.
    error: the error of a failed run in one line; "" for a finished one.
  """
  code = run_folder.recorded_codes(cell)[-1:]
  return Run(
    *(seed, cell, "failed" if error else "finished", error),
    summary={} if error else summary(cell),
    curve=curve(cell),
    code="" if not code or code[0] is None else digest(code[0]),
    data=(run_folder.recorded_data(cell) if code else None) or "",
  )


def failure(cell: Path) -> str:
  """Return the error of the run's last start in one line; "" if it did not fail."""
  path = _failure_path(cell)
  if not os.path.exists(path):
    return ""
  return read_regular(path).decode("utf-8", "replace").strip()


def set_failure(cell: Path, error: str) -> None:
  """Store the error of the run's last start; "" removes a stored one."""
  if error:
    write_file(_failure_path(cell), f"{error}\n".encode())
  else:
    _failure_path(cell).unlink(missing_ok=True)


def _failure_path(cell: Path) -> Path:
  return cell.with_name(f"{cell.name}.failed")


def last_error(log: Path) -> str:
  """Return the last line of a log that names an error, else its last line."""
  with open(log, "rb", opener=no_follow) as file:
    file.seek(max(0, os.path.getsize(log) - LOG_TAIL))
    text = file.read().decode("utf-8", "replace")
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  errors = [line for line in lines if re.match(r"[A-Za-z_][\w.]*(: |$)", line)]
  last = (errors or lines or ["the log is empty"])[-1]
  return last.removeprefix("error: ")
