"""Results of other code or data are trained anew, refused or kept, and never mixed."""

import json
import os
import sys
from pathlib import Path

import pytest

from attention_lab import config as configs
from attention_lab.compare import cells, costs, launch, plan_file, stale
from attention_lab.compare.collect import collect
from attention_lab.compare.plan import Plan, Planned
from attention_lab.compare.report.results import results
from attention_lab.errors import UserError
from attention_lab.plugin import discovery
from tests.parts import tiny_config

OLD, NEW = {"mine.py": "1", "update.py": "5"}, {"mine.py": "2", "update.py": "5"}
STEPS = 4


def write_cell(cell, codes, data="text", steps=STEPS):
  """Write what the run of a cell leaves; `codes` None for that of an earlier version."""
  cell.mkdir(parents=True)
  provenance = {
    "dataset_sha256": data,
    "devices": ["cpu"],
    "platform": "cpu",
    "versions": {},
    "git_commit": None,
  }
  content = {"config": {}, "provenance": provenance}
  content |= {} if codes is None else {"code": codes}
  (cell / "config.json").write_text(json.dumps(content))
  (cell / "summary.json").write_text(json.dumps({"steps": steps, "dataset": "text"}))


@pytest.fixture
def plan(tmp_path):
  """A comparison of `standard`, whose code is as it was, with `mine`, which changed."""
  origins = {name: cells.Origin(NEW, "text") for name in ("mine", "mine, d_ff 3")}
  origins["standard"] = cells.Origin({"update.py": "5"}, "text")
  rows = [
    Planned(name, configs.get_config(), 1, origin=origins[name])
    for name in ("standard", "mine", "mine, d_ff 3")
  ]
  made = Plan(tmp_path, rows, (0, 1), STEPS)
  for row in rows:
    for seed in made.seeds:
      code = {key: OLD[key] for key in row.origin.code}
      write_cell(made.cell(row, seed), [code])
  return made


def test_touched_rows_are_named_in_one_line_and_start_anew(plan):
  (line,) = stale.lines(plan, "retrain")
  assert line.startswith(
    "mine and mine, d_ff 3: code changed (mine.py): 4 runs start anew; "
  )
  done = [[plan.finished(row, seed) for seed in plan.seeds] for row in plan.rows]
  assert done == [[True, True], [False, False], [False, False]]
  statuses = [[run.status for run in row.runs] for row in collect(plan, "").rows]
  assert statuses == [["finished"] * 2, ["not run"] * 2, ["not run"] * 2]


def test_refusal_names_rows_and_files(plan):
  with pytest.raises(
    UserError, match=r"mine and mine, d_ff 3: code changed \(mine.py\)"
  ):
    list(stale.lines(plan, "refuse"))


def test_kept_results_are_said_to_be_old(plan):
  kept = plan._replace(keep=True)
  write_cell(kept.cell(kept.rows[1], 2), [OLD], steps=1)
  kept = kept._replace(seeds=(0, 1, 2))
  first, second = stale.lines(kept, "keep")
  assert "the old results of 4 runs are kept" in first
  assert "1 run starts anew" in second
  comparison = collect(kept, "")
  assert [bool(row.note) for row in comparison.rows] == [False, True, True]
  assert "code changed (mine.py)" in comparison.provenance["results of mine"]
  assert "code changed" in list(results(comparison))[-1]["note"]


def test_replaced_data_touch_a_row(plan):
  row = plan.rows[0]
  other = row._replace(origin=row.origin._replace(data="another text"))
  (line,) = stale.lines(plan._replace(rows=[other]), "retrain")
  assert line.startswith("standard: data changed: 2 runs start anew")


def test_runs_of_an_earlier_version_are_kept_and_said_to_be_unknown(plan):
  row = plan.rows[1]
  plan = plan._replace(rows=[row], seeds=(2,))
  write_cell(plan.cell(row, 2), None)
  (line,) = stale.lines(plan, "retrain")
  assert line == "mine: kept 1 run of an earlier version, of unknown code"
  assert plan.finished(row, 2)


def test_a_run_that_went_on_with_other_code_is_of_neither(plan):
  row = plan.rows[1]
  cell = plan.cell(row, 5)
  write_cell(cell, [OLD, NEW])
  assert cells.changed(cell, row.origin) == ["mine.py"]


def job(plan, code, **kwargs):
  """Return the job of the first stale cell."""
  cell = plan.cell(plan.rows[1], 0)
  command = [sys.executable, "-c", code]
  log, origin = cell.with_name("seed0.log"), plan.rows[1].origin
  return launch.Job("mine", (0,), (cell,), STEPS, command, log, origin, **kwargs)


def test_a_stale_run_is_moved_away_whole_before_its_cell_starts(plan):
  cell = plan.cell(plan.rows[1], 0)
  old = {path.name: path.read_bytes() for path in cell.iterdir()}
  drawn = cell.with_name("seed0.maps-000000004-1234-5678.npz")
  drawn.write_text("")
  process = launch.start(job(plan, f"import os; os.mkdir({str(cell)!r})"), os.environ)
  assert process.wait() == 0
  assert list(cell.iterdir()) == []
  aside = plan.workdir / "replaced" / "mine" / "seed0-1"
  assert {path.name: path.read_bytes() for path in aside.iterdir()} == old
  assert not drawn.exists()


def test_a_kept_run_is_not_moved(plan):
  kept = job(plan, "raise SystemExit('ran')", keep=True)
  assert launch.start(kept, os.environ).wait() == 0
  assert not Path(plan.workdir / "replaced").exists()


def test_an_edit_during_the_comparison_is_reported_as_a_failure(plan):
  edited = job(plan, "")
  launch.record_outcome(edited, 0)
  assert "mine.py changed while the comparison ran" in cells.failure(edited.cells[0])


def test_measured_costs_are_of_this_code(mine, tmp_path):
  discovery.load([str(mine)])
  config = tiny_config(attention="mine")
  plan = Plan(tmp_path, [Planned("mine", config, 1)], (0,), STEPS)
  content = {costs.CONDITIONS: costs._conditions(plan, (8,)), "records": [], "rows": {}}
  (tmp_path / plan_file.COSTS).write_text(json.dumps(content))
  assert costs.stored(plan, (8,)) == costs.Costs([], {})
  mine.write_text(mine.read_text() + "# edited\n")
  assert costs.stored(plan, (8,)) is None
