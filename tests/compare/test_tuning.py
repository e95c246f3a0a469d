"""--tune chooses the settings of each row by runs of their own, on data of their own."""

import json

import jax
import pytest

from attention_lab.compare import (
  launch,
  plan,
  plan_file,
  stale,
  tuned_values,
  tuning,
  tuning_file,
)
from attention_lab.compare.analysis import statistics
from attention_lab.compare.analysis.record import Tuned
from attention_lab.compare.analysis.table import lines
from attention_lab.compare.analysis.tuning import choice_text, curves, lost_by_choices
from attention_lab.compare.collect import collect
from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.training.preflight import with_seed
from tests.compare import in_process
from tests.compare.report import made_up
from tests.parts import tiny_config

RATES = (1e-3, 1e-2, 1e-1)
TUNE = "train.learning_rate=1e-3,1e-2,1e-1"


def a_config(tune=TUNE, **changes):
  config = tiny_config(compare__tune=tune, compare__match="none", **changes)
  config.compare.grid = (("attention", ("standard", "linear")),)
  return config


@pytest.mark.parametrize(
  ("tune", "message"),
  [
    ("train.learning_rate", "write settings with their values"),
    ("train.learning_rate=", "write settings with their values"),
    ("train.learning_rate=1e-3", "leaves no choice"),
    ("train.learning_rate=1e-3,1e-3", "lists 0.001 twice"),
    ("train.learning_rate=1e-3,2e-3;train.learning_rate=1,2", "names .* twice"),
    ("train.learning_rat=1e-3,2e-3", "There is no setting --config.train.learning_rat"),
    ("train.learning_rate=1e-3,fast", "expected float"),
    ("train.learning_rate=1e-3,-1", "above 0"),
    ("attention=standard,linear", "either compared or tuned"),
    ("seed=1,2", "cannot be tuned"),
    ("steps=10,20", "cannot be tuned"),
    ("log.every=1,2", "cannot be tuned"),
    ("dataset=copy,reverse", "what a loss is measured on"),
    ("train.held_out=0.1,0.2", "what a loss is measured on"),
  ],
)
def test_what_cannot_be_tuned_is_refused_in_one_line(tune, message):
  with pytest.raises(UserError, match=message):
    tuned_values.read(a_config(tune))


def test_sizes_are_tuned_only_if_no_row_is_matched():
  config = a_config("model.d_ff=8,16")
  assert len(tuned_values.read(config)) == 2
  config.compare.match = "parameters"
  with pytest.raises(UserError, match="--match=none"):
    tuned_values.read(config)


def test_lists_inside_brackets_stay_whole():
  found = tuned_values.read(
    a_config(
      "train.schedule=cosine(warmup=0.1, floor=0.1),constant; model.dropout=0,.1"
    )
  )
  assert [list(each.values()) for each in found] == [
    ["cosine(warmup=0.1, floor=0.1)", 0.0],
    ["cosine(warmup=0.1, floor=0.1)", 0.1],
    ["constant", 0.0],
    ["constant", 0.1],
  ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """Return a comparison whose seeds are 0 and 1, and its configuration."""
  config = a_config(seeds=2)
  return plan.make(config, tmp_path_factory.mktemp("compared")), config


@pytest.fixture
def planned(made, tmp_path):
  """Return the comparison in a folder of its own, and its configuration."""
  compared, config = made
  return compared._replace(workdir=tmp_path / "compared"), config


def finish(planned, row, seed, value, metric="accuracy"):
  """Write what a finished run of a row leaves."""
  cell = planned.cell(row, seed)
  cell.mkdir(parents=True)
  config = with_seed(row.config, seed).to_dict()
  run_folder.record(cell, config, row.origin.data, jax.devices(), code=row.origin.code)
  validation = {"loss": 1 - value, "accuracy": value}
  summary = {"steps": planned.steps, "validation": validation, "primary": metric}
  summary |= {"dataset": "copy", "leak_check": "passed"}
  (cell / run_folder.SUMMARY).write_text(json.dumps(summary))


def finish_tuning(runs, accuracies):
  """Write the tuning runs; the accuracy of a row by rate, None for one that failed."""
  for row in runs.rows:
    value = accuracies[row.config.attention][
      RATES.index(row.config.train.learning_rate)
    ]
    for seed in runs.seeds:
      if value is not None:
        finish(runs, row, seed, value)


def test_tuning_runs_share_no_seed_and_no_data_with_the_report(planned):
  compared, config = planned
  runs = tuning.plan(compared, config)
  assert len(runs.rows) == 6
  assert len(runs.seeds) == 2
  assert not set(runs.seeds) & set(compared.reported_seeds)
  assert runs.workdir == compared.workdir / "tuning"
  data = {row.origin.data for row in compared.rows}
  for row in runs.rows:
    assert row.config.train.held_out == tuning.HELD_OUT
    assert row.origin.data not in data
  assert tuning.plan(compared, a_config("")) is None
  with pytest.raises(UserError, match="are for tuning"):
    tuning.plan(compared._replace(seeds=[tuning.FIRST_SEED + 1]), config)


def test_each_row_takes_its_own_best_settings(planned):
  compared, config = planned
  runs = tuning.plan(compared, config)
  accuracies = {"standard": (0.1, 0.6, 0.5), "linear": (0.8, 0.2, None)}
  assert tuning.left(compared, runs) == {"standard": 6, "linear": 6}
  finish_tuning(runs, accuracies)
  assert tuning.left(compared, runs) == {"standard": 0, "linear": 2}
  found = tuning.results(compared, runs, config)
  standard, linear = tuning.with_choices(compared, found).rows
  assert standard.config.train.learning_rate == 1e-2
  assert linear.config.train.learning_rate == 1e-3
  assert standard.config.train.held_out == 0
  assert choice_text(found["standard"]) == "learning rate 0.01"
  assert choice_text(found["linear"]) == (
    "learning rate 0.001, the smallest learning rate of the grid: smaller ones may be "
    "better; 2 tuning runs failed"
  )
  tuning_file.write(compared.workdir, found)
  stored = tuning_file.read(compared.workdir)
  assert {name: str(tuned) for name, tuned in stored.items()} == {
    name: str(tuned._replace(settings=list(tuned.settings)))
    for name, tuned in found.items()
  }


def test_a_row_whose_runs_all_failed_keeps_the_first_values(planned):
  compared, config = planned
  runs = tuning.plan(compared, config)
  finish_tuning(runs, {"standard": (0.1, 0.6, 0.5), "linear": (None,) * 3})
  found = tuning.results(compared, runs, config)
  assert choice_text(found["linear"]) == (
    "all 6 tuning runs failed; it keeps learning rate 0.001"
  )


def test_rows_with_other_choices_are_compared_and_named_without_them(planned):
  compared, config = planned
  runs = tuning.plan(compared, config)
  finish_tuning(runs, {"standard": (0.1, 0.6, 0.5), "linear": (0.8, 0.2, 0.1)})
  found = tuning.results(compared, runs, config)
  tuned = tuning.with_choices(compared, found)
  for row, value in zip(tuned.rows, (0.5, 0.7), strict=True):
    for seed in tuned.seeds:
      finish(tuned, row, seed, value + 0.01 * seed)
  compared.workdir.mkdir(exist_ok=True)
  tuning_file.write(compared.workdir, found)
  comparison = collect(tuned, "the command")
  standard, linear = comparison.rows
  assert linear.settings == {"attention": "linear"}
  assert linear.chosen == {"train.learning_rate": 1e-3}
  (shown,) = curves(comparison).values()
  assert [(c.name, c.chosen, c.points[1e-2]) for c in shown] == [
    ("standard", 1e-2, 0.6),
    ("linear", 1e-3, 0.2),
  ]
  assert standard.runs[0].status == "finished"


def test_another_choice_trains_the_row_anew(planned):
  compared, config = planned
  runs = tuning.plan(compared, config)
  finish_tuning(runs, {"standard": (0.1, 0.6, 0.5), "linear": (0.8, 0.2, 0.1)})
  found = tuning.results(compared, runs, config)
  tuned = tuning.with_choices(compared, found)
  for row in tuned.rows:
    for seed in tuned.seeds:
      finish(tuned, row, seed, 0.5)
  # The plan of a repeated command, which does not know the choice, accepts the runs.
  again = plan.make(config, compared.workdir)
  assert all(again.finished(row, seed) for row in again.rows for seed in (0, 1))
  assert list(stale.lines(tuning.with_choices(again, found), "retrain")) == []
  other = found | {"linear": found["linear"]._replace(chosen=2)}
  changed = tuning.with_choices(again, other)
  (line,) = stale.lines(changed, "retrain")
  assert "linear: tuning chose other settings: 2 runs start anew" in line
  done = [[changed.finished(row, seed) for seed in (0, 1)] for row in changed.rows]
  assert done == [[True, True], [False, False]]


@pytest.mark.parametrize(
  ("first", "second", "message"),
  [(TUNE, "", r"with --tune\. Type --tune="), ("", TUNE, r"without --tune\. Omit it")],
)
def test_a_folder_is_tuned_or_it_is_not(tmp_path, first, second, message):
  stored = plan_file.Stored([], [], 4, (), first)
  plan_file.refuse_other_tuning(tmp_path, stored, first and "model.dropout=0,0.1")
  with pytest.raises(UserError, match=message):
    plan_file.refuse_other_tuning(tmp_path, stored, second)


WORDS = [
  *("--mode=compare", "--attention=standard,linear", "--match=none"),
  "--tune=train.learning_rate=1e-3,3e-2",
  "--dataset=copy(sequence_length=8, validation_examples=8, train_examples=100)",
  *("--batch_size=8", "--steps=4", "--config.train.schedule=constant"),
  *("--config.model.d_model=8", "--config.model.num_heads=2"),
  *("--config.model.num_layers=1", "--config.sample.length=4"),
  *("--config.compare.cost_lengths=()", "--config.compare.vmap_seeds=always"),
]


def test_an_interrupted_tuning_continues(tmp_path, command, monkeypatch):
  """Each job runs once, however often the command is interrupted."""
  in_process.without_training(monkeypatch)
  jobs_of_all, work = 2 * 2 + 2, tmp_path / "work"
  for jobs in (1, 4, jobs_of_all - 5):
    left = [jobs]
    monkeypatch.setattr(launch, "run_locally", in_process.launcher(left))
    status, out, _ = command(*WORDS, f"--workdir={work}")
    assert left == [0]
  assert (status, out.count("Tuned ")) == (0, 2)
  lines = (work / "results.jsonl").read_text().splitlines()
  rows = {row["row"]: row for row in map(json.loads, lines)}
  for name, tuned in tuning_file.read(work).items():
    losses = [sum(scores) for scores in tuned.scores["loss"]]
    accuracies = [sum(scores) for scores in tuned.scores["accuracy"]]
    assert tuned.chosen == accuracies.index(max(accuracies))
    assert losses[0] != losses[1]
    assert rows[name]["learning_rate"] == (1e-3, 3e-2)[tuned.chosen]
    assert rows[name]["status"] == "finished"
  status, out, _ = command(*WORDS, f"--workdir={work}", "--dry_run")
  assert status == 0
  assert out.count("0 of 1 seed to run after 0 tuning runs") == 2


def a_tuned_row(name, losses, scores, **settings):
  """Return a row that chose the first of two rates, with the losses of its runs."""
  rates = [{"train.learning_rate": rate} for rate in (1e-3, 1e-2)]
  found = Tuned("loss", rates, {"loss": scores, "accuracy": scores}, 0)
  row = made_up.row(name, losses, **settings)
  return row._replace(tuned=found, chosen=rates[0])


@pytest.mark.parametrize(
  ("scores", "certain"),
  [([[1.0, 1.01], [3.0, 3.01]], True), ([[1.0, 1.2], [1.1, 1.12]], False)],
)
def test_an_uncertain_choice_widens_the_interval_and_raises_p(scores, certain):
  losses = [1.0, 1.1, 1.2], [0.9, 1.01, 1.1]
  tuned = made_up.comparison(
    a_tuned_row("standard", losses[0], scores),
    a_tuned_row("linear", losses[1], scores, attention="linear"),
  )
  plain = made_up.comparison(
    made_up.row("standard", losses[0]),
    made_up.row("linear", losses[1], attention="linear"),
  )
  one, other = (lines(each)[1].differences["loss"] for each in (tuned, plain))
  assert one.mean == other.mean
  if certain:
    assert (one.low, one.p) == (pytest.approx(other.low), pytest.approx(other.p))
    return
  variance = sum(each["loss"] for each in lost_by_choices(tuned).values())
  expected = statistics.paired(*map(dict, map(enumerate, losses[::-1])), variance)
  assert one.p == pytest.approx(expected.p)
  assert one.low < other.low - 0.01
  assert one.p > 2 * other.p
