"""Folders whose files were exchanged or removed are refused, in every mode."""

import json
import shutil

import pytest

from attention_lab.mode import train
from tests.commands import assert_refused, records
from tests.parts import tiny_config

MODES = ("train", "evaluate", "sample")


def make(workdir, **changes):
  quiet = {"log__tensorboard": False, "model__num_layers": 1}
  config = tiny_config(steps=4, checkpoint__every=2, log__every=1, **quiet, **changes)
  assert train.run(config, str(workdir)) == 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """Runs of two seeds, by seed."""
  folder = tmp_path_factory.mktemp("runs")
  for seed in (0, 1):
    make(folder / str(seed), seed=seed)
  return folder


@pytest.fixture
def run(finished, tmp_path):
  """Return the folder of a copy of the first run."""
  return shutil.copytree(finished / "0", tmp_path / "run")


def newest(run):
  return max((run / "checkpoints").glob("*.npz"))


def edit(run, section, key, value):
  path = run / "config.json"
  content = json.loads(path.read_text())
  content["config"][section][key] = value
  path.write_text(json.dumps(content))


def edit_rate(run, finished):
  edit(run, "train", "learning_rate", 0.5)


def edit_width(run, finished):
  edit(run, "model", "d_model", 16)  # The arrays do not fit either.


def exchange(run, finished):
  newest(run).unlink()
  shutil.copy(newest(finished / "1"), run / "checkpoints")


def rename(run, finished):
  old = min((run / "checkpoints").glob("*.npz"))
  shutil.copy(old, old.with_name(f"000000009{old.name[9:]}"))


CHANGES = {
  edit_rate: "train.learning_rate: 0.006 there, 0.5 here",
  edit_width: "model.d_model: 8 there, 16 here",
  exchange: "seed: 1 there, 0 here",
  rename: "has the name of step 9 and the state of step 2",
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("change", CHANGES)
def test_a_foreign_checkpoint_is_refused_by_name(run, finished, command, change, mode):
  change(run, finished)
  before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
  assert_refused(command(f"--workdir={run}", f"--mode={mode}"), CHANGES[change])
  after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
  assert after == before


def test_an_average_over_a_foreign_checkpoint_is_refused(run, finished, command):
  exchange(run, finished)
  words = [f"--workdir={run}", "--mode=evaluate", "--config.evaluation.average=2"]
  assert_refused(command(*words), CHANGES[exchange])


MARKS = ("summary.json", ".saved")


@pytest.mark.parametrize(
  "lost", [(), MARKS[:1], MARKS], ids=["finished", "unfinished", "earlier version"]
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_run_without_its_checkpoints_does_not_start_anew(run, command, whole, lost):
  shutil.rmtree(run / "checkpoints")
  if not whole:
    (run / "checkpoints").mkdir()
  for name in lost:
    (run / name).unlink()
  before = records(run)
  result = command(f"--workdir={run}", "--mode=train")
  assert_refused(result, f"The run in {run} has no checkpoint left")
  assert_refused(result, f"name another --workdir, or remove {run}")
  assert records(run) == before


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_anew(run, command):
  shutil.rmtree(run / "checkpoints")
  for name in MARKS:
    (run / name).unlink()
  lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
  until = [line for line in lines if json.loads(line)["step"] <= 2]  # Saved every 2.
  (run / "metrics.jsonl").write_text("".join(until))
  status, out, _ = command(f"--workdir={run}")
  assert status == 0
  assert f"New run in {run}" in out
