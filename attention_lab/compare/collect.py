"""From folders to what the reports are made of; nothing else is looked at."""

from collections.abc import Mapping, Sequence
from typing import Any

from attention_lab import config as configs
from attention_lab.compare import cells, maps
from attention_lab.compare.analysis.record import Comparison, Maps, Row, Run
from attention_lab.compare.plan import Plan, Planned, with_seed
from attention_lab.run import folder as run_folder
from attention_lab.system.files import read_json


def collect(
  plan: Plan,
  command: str,
  costs: Sequence[Mapping[str, Any]] = (),
  with_maps: bool = False,
) -> Comparison:
  """All that the folders of a plan's cells tell.

  Args:
    plan: what was to be run.
    command: what was typed.
    costs: records of the attentions' costs.
    with_maps: whether attention maps are made, which takes a while.
  """
  rows = [_row(plan, row, with_maps) for row in plan.rows]
  varied = {key for row in rows for key in row.settings}
  first = dict(configs.flatten(plan.rows[0].config))
  return Comparison(
    command=command,
    rows=rows,
    seeds=len(plan.seeds),
    steps=plan.steps,
    provenance=_provenance(rows),
    costs=costs,
    baseline={key: value for key, value in first.items() if key in varied},
  )


def _row(plan: Plan, row: Planned, with_maps: bool) -> Row:
  runs = [_run(plan, row, seed) for seed in plan.seeds]
  return Row(
    name=row.name,
    settings=plan.settings(row),
    matched=row.matched,
    runs=runs,
    maps=_maps(row, runs) if with_maps else None,
  )


def _run(plan: Plan, row: Planned, seed: int) -> Run:
  cell = plan.cell(row, seed)
  if plan.finished(row, seed):
    return Run(seed, cell, "finished", "", cells.summary(cell), cells.curve(cell))
  if error := cells.failure(cell):
    return Run(seed, cell, "failed", error, {}, cells.curve(cell))
  return Run(seed, cell, "not run")


def _maps(row: Planned, runs: Sequence[Run]) -> Maps | None:
  for run in runs:
    if run.status == "finished":
      return maps.of_run(with_seed(row.config, run.seed), run.folder)
  return None


def _provenance(rows: Sequence[Row]) -> dict[str, str]:
  """What the finished runs say they ran on, each thing once."""
  told: dict[str, list[str]] = {}
  for row in rows:
    for run in row.runs:
      if run.status != "finished":
        continue
      for name, text in _of_run(run).items():
        if text not in told.setdefault(name, []):
          told[name].append(text)
  return {name: "; ".join(texts) for name, texts in told.items()}


def _of_run(run: Run) -> dict[str, str]:
  about = read_json(run.folder / run_folder.CONFIG)["provenance"]
  kinds = about["devices"]
  return {
    "device": f"{len(kinds)} × {kinds[0]} ({about['platform']})",
    "versions": ", ".join(f"{k} {v}" for k, v in about["versions"].items()),
    "commit": str(about["git_commit"]),
    f"dataset {run.summary['dataset']}": f"sha256 {about['dataset_sha256']}",
    "checks for leaks": run.summary["leak_check"],
  }
