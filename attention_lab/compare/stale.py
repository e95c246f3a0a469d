"""Stale results of a comparison: runs whose code or data has changed since they began."""

from collections.abc import Iterator
from typing import NamedTuple

from attention_lab.compare import cells
from attention_lab.compare.analysis.wording import counted, listed
from attention_lab.compare.plan import Plan, Planned
from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.run.code import named


class Stale(NamedTuple):
  """The stale runs of rows for which the same has changed."""

  rows: list[str]
  finished: int  # Number of runs.
  unfinished: int


def lines(plan: Plan, policy: str) -> Iterator[str]:
  """Yield what happens to stale results, a line for each cause.

  Args:
    plan: the comparison.
    policy: the setting `compare.stale`.

  Raises:
    UserError: there are some, and `policy` is "refuse".
  """
  causes = _causes(plan)
  if causes and policy == "refuse":
    rows = "; ".join(f"{listed(s.rows)}: {cause}" for cause, s in causes.items())
    raise UserError(
      f"{plan.workdir} holds results of other code or data ({rows}). Restore it, or type "
      f"--config.compare.stale=retrain to train these rows anew, or keep."
    )
  for cause, found in causes.items():
    kept = found.finished if policy == "keep" else 0
    anew = found.finished + found.unfinished - kept
    begins = f"{listed(found.rows)}: {cause}: "
    if kept:
      yield f"{begins}the old results of {counted(kept, 'run')} are kept"
    if anew:
      start = "starts" if anew == 1 else "start"
      yield (
        f"{begins}{counted(anew, 'run')} {start} anew; what there is moves to "
        f"{plan.workdir / cells.REPLACED}"
      )
  if unknown := _unknown(plan):
    runs = counted(sum(unknown.values()), "run")
    yield f"{listed(list(unknown))}: kept {runs} of an earlier version, of unknown code"


def note(plan: Plan, row: Planned) -> str:
  """Return why the results of a row are not those of today's code and data, or ""."""
  names = {
    name
    for seed in plan.reported_seeds
    if plan.finished(row, seed)
    for name in plan.changed(row, seed)
  }
  if not names:
    return ""
  return f"{_cause(names)} since these runs began; their old results are kept"


def _causes(plan: Plan) -> dict[str, Stale]:
  """Return the stale runs that this command would train, by cause."""
  found: dict[str, Stale] = {}
  for row in plan.rows:
    names, done, undone = set[str](), 0, 0
    for seed in plan.seeds:
      if changed := plan.changed(row, seed):
        names.update(changed)
        finished = cells.finished(plan.cell(row, seed), plan.steps)
        done, undone = done + finished, undone + (not finished)
    if names:
      rows, *counts = found.get(_cause(names), Stale([], 0, 0))
      total = (counts[0] + done, counts[1] + undone)
      found[_cause(names)] = Stale([*rows, row.name], *total)
  return found


def _cause(names: set[str]) -> str:
  """Return what has changed, such as "code changed (mine.py)"."""
  files = named(sorted(names - {cells.DATA, cells.CHOICE}))
  texts = [f"code changed ({files})"] * bool(files)
  texts += ["data changed"] * (cells.DATA in names)
  texts += ["tuning chose other settings"] * (cells.CHOICE in names)
  return listed(texts)


def _unknown(plan: Plan) -> dict[str, int]:
  """Return the number of runs whose code was not recorded, by row."""
  found: dict[str, int] = {}
  for row in plan.rows:
    for seed in plan.seeds:
      if None in run_folder.recorded_codes(plan.cell(row, seed)):
        found[row.name] = found.get(row.name, 0) + 1
  return found
