"""Collection of a comparison's results from the folders of its runs."""

from collections.abc import Sequence

from attention_lab import config as configs
from attention_lab.compare import cells, maps, stale, tuning_file
from attention_lab.compare.analysis.record import Comparison, Maps, Row, Run, Tuned
from attention_lab.compare.costs import NO_COSTS, Costs
from attention_lab.compare.plan import Plan, Planned
from attention_lab.compare.provenance import provenance
from attention_lab.training.preflight import with_seed


def collect(
  plan: Plan,
  command: str,
  costs: Costs = NO_COSTS,
  with_maps: bool = False,
) -> Comparison:
  """Return the results that the folders of a plan's cells contain.

  Args:
    plan: the planned rows and seeds.
    command: the command line of the comparison.
    costs: what was measured apart from training.
    with_maps: whether to compute attention maps, which takes seconds per row.
  """
  tuned = tuning_file.read(plan.workdir) if plan.tuned else {}
  rows = [_row(plan, row, tuned.get(row.name), with_maps) for row in plan.reported]
  varied = {key for row in rows for key in row.settings}
  first = dict(configs.flatten(plan.rows[0].config))
  return Comparison(
    command=command,
    rows=rows,
    seeds=len(plan.reported_seeds),
    steps=plan.steps,
    provenance=provenance(rows),
    costs=costs.records,
    row_costs=costs.rows,
    baseline={key: value for key, value in first.items() if key in varied},
    dataset=str(first["dataset"]),
    about=plan.about,
    looks=plan.looked().looks,
    margin=plan.margin,
    settings=first,
  )


def _row(plan: Plan, row: Planned, tuned: Tuned | None, with_maps: bool) -> Row:
  runs = [_run(plan, row, seed) for seed in plan.reported_seeds]
  return Row(
    name=row.name,
    settings=plan.settings(row),
    matched=row.matched,
    runs=runs,
    made_from=row.made_from,
    against=row.against,
    maps=_maps(plan, row, runs) if with_maps else None,
    note=stale.note(plan, row),
    tuned=tuned,
    chosen=plan.chosen(row),
  )


def _run(plan: Plan, row: Planned, seed: int) -> Run:
  cell = plan.cell(row, seed)
  if plan.finished(row, seed):
    return cells.result(cell, seed)
  if plan.changed(row, seed):
    return Run(seed, cell, "not run")  # It is to start anew.
  if error := cells.failure(cell):
    return cells.result(cell, seed, error)
  return Run(seed, cell, "not run")


def _maps(plan: Plan, row: Planned, runs: Sequence[Run]) -> Maps | None:
  """Return the maps of the first finished run whose code is that of this process."""
  for run in runs:
    if run.status == "finished" and row.origin and not plan.changed(row, run.seed):
      return maps.of_run(with_seed(row.config, run.seed), run.folder, row.origin.code)
  return None
