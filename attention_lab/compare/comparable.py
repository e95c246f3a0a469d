"""Refusals of --mode=report: runs whose results cannot be compared with each other."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attention_lab.compare.analysis.measures import METRICS, figures
from attention_lab.compare.analysis.wording import counted, listed
from attention_lab.compare.sources import Cell
from attention_lab.errors import UserError
from attention_lab.run.code import named
from attention_lab.system.code_hash import VERSION, digest

KEEP = "To join them all the same, type --config.compare.stale=keep."
# Figures that equal runs may differ in: they depend on the machine and its load.
_TIMES = ("seconds", "training_flops")


def refuse_other_steps(cells: Sequence[Cell]) -> None:
  """Raise `UserError` if runs took different numbers of steps."""
  first = cells[0]
  for cell in cells:
    if steps_of(cell) != steps_of(first):
      raise UserError(
        f"{first.source} has runs of {counted(steps_of(first), 'step')} and "
        f"{cell.source} of {counted(steps_of(cell), 'step')}. Join folders of equal steps."
      )


def steps_of(cell: Cell) -> int:
  """Return the number of steps of a run; of a failed one, what it should have had."""
  return int(cell.run.summary.get("steps", cell.config.steps))


def refuse_other_data(cells: Sequence[Cell]) -> None:
  """Raise `UserError` if a dataset of the same name had other data."""
  first: dict[str, Cell] = {}
  for cell in cells:
    known = first.setdefault(cell.config.dataset, cell)
    if cell.data != known.data and cell.source != known.source:
      raise UserError(
        f"{known.source} and {cell.source} were trained on different data of the name "
        f"{cell.config.dataset!r} (sha256 {_short(known.data)} and {_short(cell.data)}). "
        f"{KEEP}"
      )


def refuse_other_code(rows: Sequence[Sequence[Cell]]) -> None:
  """Raise `UserError` if runs of two folders had different code.

  Runs of one row have to have the same files; those of two rows may have files that only
  one of them uses. Versions of libraries do not count.

  Args:
    rows: the runs of each row.
  """
  distinct: dict[tuple[Path, int, str], tuple[Cell, int, Mapping[str, str]]] = {}
  for index, row in enumerate(rows):
    for cell in row:
      for code in cell.codes:
        key = cell.source, index, digest(code)
        distinct.setdefault(key, (cell, index, code))
  for (one, i, old), (other, j, new) in itertools.combinations(distinct.values(), 2):
    if one.source == other.source:
      continue
    names = {*old, *new} if i == j else {*old} & {*new}
    changed = [
      name
      for name in sorted(names)
      if old.get(name) != new.get(name) and not name.startswith(VERSION)
    ]
    if changed:
      raise UserError(
        f"{one.run.folder} and {other.run.folder} were trained with different code "
        f"({named(changed)}). {KEEP}"
      )


def tuned_settings(cells: Sequence[Cell]) -> list[str]:
  """Return the settings that tuning chose for each row.

  Raises:
    UserError: it did not choose the same for all runs.
  """
  first = cells[0]
  for cell in cells:
    if _tuned(cell) != _tuned(first):
      texts = [
        f"{each.source} has {listed(_tuned(each)) or 'no settings'}"
        for each in (first, cell)
      ]
      raise UserError(
        f"Tuning chose different settings: {listed(texts)}. Join comparisons that tuned "
        "the same settings."
      )
  return _tuned(first)


def _tuned(cell: Cell) -> list[str]:
  return sorted(cell.tuned.settings[0]) if cell.tuned else []


def without_repeats(row: Sequence[Cell]) -> list[Cell]:
  """Return the runs of a row, each seed once, by seed.

  Raises:
    UserError: two runs of a seed have different results.
  """
  found: dict[int, Cell] = {}
  for cell in row:
    known = found.setdefault(cell.run.seed, cell)
    if _results(known) != _results(cell):
      raise UserError(
        f"{known.run.folder} and {cell.run.folder} are runs of the same configuration "
        f"and seed {cell.run.seed} with different results ({_difference(known, cell)}). "
        "Leave one of them out."
      )
  return [found[seed] for seed in sorted(found)]


def note(cells: Sequence[Cell]) -> str:
  """Return what has changed between the runs of a row, or ""."""
  codes = {digest(code): code for cell in cells for code in cell.codes}
  names = {
    name
    for one, other in itertools.combinations(codes.values(), 2)
    for name in {*one, *other}
    if one.get(name) != other.get(name) and not name.startswith(VERSION)
  }
  texts = [f"other code ({named(sorted(names))})"] * bool(names)
  texts += ["other data"] * (len({cell.data for cell in cells}) > 1)
  return f"some of its runs had {listed(texts)}" if texts else ""


def _short(fingerprint: str | None) -> str:
  return str(fingerprint)[:8]


def _results(cell: Cell) -> dict[str, Any]:
  """Return what equal runs have in common."""
  found: dict[str, Any] = {"status": cell.run.status, "error": cell.run.error}
  return found | {
    key: value
    for key, value in figures(cell.run.summary or {"steps": 0}).items()
    if key not in _TIMES
  }


def _difference(one: Cell, other: Cell) -> str:
  old, new = _results(one), _results(other)
  return next(_differences(old, new))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
  for key in [*old, *new]:
    if old.get(key) != new.get(key):
      name = METRICS[key].name if key in METRICS else key
      yield f"{name} {old.get(key)} and {new.get(key)}"
