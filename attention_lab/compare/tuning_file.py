"""tuning.json: the results of a comparison's tuning runs, and what they chose."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.analysis.record import Tuned
from attention_lab.errors import UserError
from attention_lab.system.files import read_json, write_json
from attention_lab.system.shape import AtLeast, Only, refuse_malformed

FILE = "tuning.json"
CONTENT = {
  str: Only(
    {
      "metric": frozenset(METRICS),
      "settings": [{str: object}],
      "scores": {str: [[float]]},
      "chosen": AtLeast(int, 0),
    }
  )
}


def read(workdir: Path) -> dict[str, Tuned]:
  """Return the tuning of each row of a comparison; none if it was not tuned."""
  path = workdir / FILE
  if not os.path.exists(path):
    return {}
  content = read_json(path)
  refuse_malformed(path, content, CONTENT)
  return {name: _tuned(path, name, row) for name, row in content.items()}


def _tuned(path: Path, name: str, stored: Mapping[str, Any]) -> Tuned:
  """Return what was stored of a row; numbers that are not finite are stored by name."""
  tried = len(stored["settings"])
  runs = {len(each) for each in stored["scores"].values()}
  if stored["chosen"] >= tried or runs != {tried}:
    raise UserError(f"{path}: {name} does not have a score for each of its settings.")
  if stored["metric"] not in stored["scores"]:
    raise UserError(f"{path}: {name}.scores has no {stored['metric']}.")
  scores = {
    metric: [[float(score) for score in runs] for runs in by_settings]
    for metric, by_settings in stored["scores"].items()
  }
  return Tuned(**{**stored, "scores": scores})


def write(workdir: Path, found: Mapping[str, Tuned]) -> None:
  """Store the tuning of rows beside that of rows of earlier commands."""
  rows = read(workdir) | dict(found)
  write_json(workdir / FILE, {name: row._asdict() for name, row in rows.items()})
