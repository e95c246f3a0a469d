"""Folders of finished runs and comparisons, read for the reports of --mode=report.

A folder is not changed, and nothing of a plugin is loaded.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from attention_lab import config as configs
from attention_lab.compare import cells, plan_file, tuning_file
from attention_lab.compare.analysis.record import Run, Tuned
from attention_lab.compare.analysis.wording import counted
from attention_lab.config import Config
from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder

_SEEDS = f"seed*/{run_folder.CONFIG}"  # Runs of --mode=train --seeds=5.


class Cell(NamedTuple):
  """A run, with what decides which row it belongs to."""

  source: Path  # The folder that the user named.
  config: Config
  run: Run  # Its folder, seed, status and results.
  codes: Sequence[Mapping[str, str]]  # The code of its starts, as far as recorded.
  data: str | None  # Fingerprint of its dataset.
  name: str = ""  # Of its row in the comparison; "" for a single run.
  matched: str = ""  # How the row was matched.
  made_from: str = ""  # Name of the row that a matched row was made of.
  against: tuple[str, ...] = ()  # Names of the rows that it names to be compared with.
  tuned: Tuned | None = None  # How settings of the row were chosen.


class Source(NamedTuple):
  """The runs of a folder, and what a comparison says of them."""

  folder: Path
  cells: Sequence[Cell]
  about: str = ""  # "" for single runs, and in comparisons of older versions.
  margin: str = ""  # "" for single runs.
  looks: Sequence[int] = ()
  records: Sequence[Mapping[str, Any]] = ()  # Measured costs of attentions.
  rows: Mapping[str, Mapping[str, Any]] = {}  # Measured costs of rows by their name.


def read(folder: Path) -> Source:
  """Return the runs of a folder: a comparison, a run, or the seeds of one command.

  Raises:
    UserError: it is neither, or a run has not finished.
  """
  stored = plan_file.read(folder)
  if stored is not None:
    return _comparison(folder, stored)
  if os.path.exists(folder / run_folder.CONFIG):
    return Source(folder, [_single(folder, folder)])
  seeds = sorted(path.parent for path in folder.glob(_SEEDS))
  if seeds:
    return Source(folder, [_single(folder, seed) for seed in seeds])
  if not os.path.isdir(folder):
    raise UserError(
      f"There is no folder {folder}. Name folders of runs or comparisons."
    )
  names = (run_folder.CONFIG, plan_file.FILE)
  inside = sorted({path.parent for name in names for path in folder.glob(f"*/{name}")})
  hint = f" Name what is in it: {folder}/*" if inside else ""
  raise UserError(
    f"{folder} is neither a run nor a comparison: it has neither {names[0]} nor "
    f"{names[1]}.{hint}"
  )


def _single(source: Path, folder: Path) -> Cell:
  """Return the run of --mode=train in a folder, or of a comparison's cell."""
  cell = _cell(source, folder, None)
  if cell is None:
    raise UserError(
      f"The run in {folder} has not finished. Finish it with: python -m "
      f"attention_lab.main --workdir={folder}"
    )
  return cell


def _comparison(folder: Path, stored: plan_file.Stored) -> Source:
  """Return the runs of a comparison.

  Seeds that a row of an earlier command never had are left out, as long as all runs of
  the last command have ended.
  """
  found, missing = [], []
  tuned = tuning_file.read(folder) if stored.tune else {}
  for row in stored.rows:
    own = []
    for seed in stored.seeds:
      place = cells.folder(folder, row.name, seed)
      cell = _cell(folder, place, stored.steps)
      started = run_folder.stored_config(place) is not None
      if cell is not None:
        cell = cell._replace(
          name=row.name, tuned=tuned.get(row.name), against=row.against
        )
        own.append(cell._replace(matched=row.matched, made_from=row.made_from))
      elif started or len(stored.seeds) not in stored.looks:
        missing.append(f"{row.name}, seed {seed}")
    missing += [row.name] * (not own and not missing)
    found += own
  if not found or missing:
    command = stored.command or f"--mode=compare … --workdir={folder}"
    what = "no finished run"
    if found:
      what = f"{counted(len(missing), 'run')} that did not finish ({missing[0]})"
    raise UserError(f"The comparison in {folder} has {what}. Finish it with: {command}")
  costs = plan_file.read_costs(folder) or {}
  return Source(
    *(folder, found, stored.about, stored.margin, stored.looks),
    records=costs.get("records", ()),
    rows=costs.get("rows", {}),
  )


def _cell(source: Path, folder: Path, steps: int | None) -> Cell | None:
  """Return the run of a folder if it has finished, failed or diverged; None otherwise.

  Args:
    source: the folder that the user named.
    folder: the run's folder.
    steps: its number of steps; None for that of its configuration.
  """
  stored = run_folder.stored_config(folder)
  if stored is None:
    return None
  config = configs.from_stored(stored, folder / run_folder.CONFIG)
  error = ""
  if not cells.finished(folder, config.steps if steps is None else steps):
    error = cells.failure(folder) or _divergence(folder)
    if not error:
      return None
  run = cells.result(folder, int(config.seed), error)
  codes = [code for code in run_folder.recorded_codes(folder) if code is not None]
  return Cell(source, config, run, codes, run_folder.recorded_data(folder))


def _divergence(folder: Path) -> str:
  """Return why a run stopped, if that was its loss, or ""."""
  last = cells.curve(folder)[-1:]
  if last and last[0].get("event") == "not_finite":
    return f"At step {last[0]['step']} the loss was not finite."
  return ""
