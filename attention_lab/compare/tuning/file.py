"""tuning.json: the results of a comparison's tuning runs, and what they chose."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attention_lab.compare.analysis.record import Tuned
from attention_lab.system.files import read_json, write_json

FILE = "tuning.json"


def read(workdir: Path) -> dict[str, Tuned]:
  """Return the tuning of each row of a comparison; none if it was not tuned."""
  path = workdir / FILE
  if not os.path.exists(path):
    return {}
  return {name: _tuned(row) for name, row in read_json(path).items()}


def _tuned(stored: Mapping[str, Any]) -> Tuned:
  """Return what was stored; numbers that are not finite are stored by name."""
  scores = {
    metric: [[float(score) for score in runs] for runs in by_settings]
    for metric, by_settings in stored["scores"].items()
  }
  return Tuned(**{**stored, "scores": scores})


def write(workdir: Path, found: Mapping[str, Tuned]) -> None:
  """Store the tuning of rows beside that of rows of earlier commands."""
  rows = read(workdir) | dict(found)
  write_json(workdir / FILE, {name: row._asdict() for name, row in rows.items()})
