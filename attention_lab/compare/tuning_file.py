"""tuning.json: the results of a comparison's tuning runs, and what they chose."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.analysis.record import Tuned
from attention_lab.errors import UserError
from attention_lab.system.files import write_json
from attention_lab.system.shape import AtLeast, Either, Only, OrNull, read_shaped

FILE = "tuning.json"
CONTENT = {
  str: Only(
    {
      "metric": frozenset(METRICS),
      "settings": [{str: Either(OrNull(str), Either(float, bool))}],
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
  content = read_shaped(path, CONTENT)
  return {name: _tuned(path, name, row) for name, row in content.items()}


def _tuned(path: Path, name: str, stored: Mapping[str, Any]) -> Tuned:
  """Return what was stored of a row; numbers that are not finite are stored by name."""
  settings, scored = stored["settings"], stored["scores"].values()
  runs = {len(each) for combinations in scored for each in combinations}
  if (
    not 0 <= stored["chosen"] < len(settings)
    or {len(combinations) for combinations in scored} != {len(settings)}
    or len({tuple(sorted(each)) for each in settings}) > 1
    or len(runs) != 1
    or 0 in runs
  ):
    raise UserError(f"{path}: {name} does not have its scores for each combination.")
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
