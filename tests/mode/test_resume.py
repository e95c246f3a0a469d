"""What a finished run is gone on with; tests/faults has what was killed or damaged."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from attention_lab.mode import train
from tests import commands
from tests.parts import tiny_config

STEPS = 6


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """A run from beginning to end."""
  workdir = tmp_path_factory.mktemp("runs") / "finished"
  quiet = {"log__tensorboard": False, "model__num_layers": 1}
  config = tiny_config(steps=STEPS, train__schedule="cosine", **quiet)
  assert train.run(config, str(workdir)) == 0
  return workdir


def test_a_finished_run_has_nothing_left_to_do(finished, command):
  before = commands.records(finished), commands.last_checkpoint(finished).keys()
  status, out, err = command(f"--workdir={finished}")  # The folder says all.
  assert (status, err) == (0, "")
  assert f"Resuming at step {STEPS}" in out
  after = commands.records(finished), commands.last_checkpoint(finished).keys()
  assert before == after


EXPERIMENT = f"""
from attention_lab import config as configs


def get_config():
  config = configs.get_config()
  config.steps, config.train.schedule = {STEPS + 1}, "cosine"
  return config
"""


@pytest.mark.parametrize("given", ["--steps={}", "--config={}"])
def test_a_new_process_knows_the_schedule_of_a_longer_run(finished, tmp_path, given):
  """A process that has not loaded the components yet, unlike those of `commands`."""
  (tmp_path / "longer.py").write_text(EXPERIMENT)
  value = STEPS + 1 if "steps" in given else tmp_path / "longer.py"
  words = [f"--workdir={finished}", given.format(value)]
  result = subprocess.run(
    [sys.executable, "-m", "attention_lab.main", *words],
    check=False,
    capture_output=True,
    text=True,
    cwd=commands.ROOT,
    timeout=300,
  )
  commands.assert_refused(
    (result.returncode, result.stdout, result.stderr), "To train it further, type"
  )


def test_a_resumed_run_differs_in_the_timings_that_the_guide_names(tmp_path):
  quiet = {"log__tensorboard": False, "model__num_layers": 1}
  often = {"log__every": 3, "evaluation__every": 3}
  runs = {tmp_path / "whole": (STEPS,), tmp_path / "resumed": (3, STEPS)}
  for workdir, starts in runs.items():
    for steps in starts:
      assert train.run(tiny_config(steps=steps, **often, **quiet), str(workdir)) == 0
  lines, summaries = [], []
  for workdir in runs:
    text = (workdir / "metrics.jsonl").read_text()
    lines.append([json.loads(line) for line in text.splitlines()])
    summaries.append(json.loads((workdir / "summary.json").read_text()))
  differ = {key for one, two in zip(*lines, strict=True) for key in different(one, two)}
  assert differ == set(commands.TIMINGS)
  guide = (commands.ROOT / "docs" / "guides" / "reliability.md").read_text()
  (promise,) = (p for p in guide.split("\n- ") if p.startswith("**A run resumes"))
  named = set(re.findall(r"`(\w+)`", promise))
  assert differ | different(*summaries) <= named
  assert named <= differ | set(summaries[0])
  one, two = map(commands.last_checkpoint, runs)
  assert {key: x.tobytes() for key, x in one.items()} == {
    key: x.tobytes() for key, x in two.items()
  }


def different(one, two):
  """Return the keys in which two dictionaries of the same keys differ."""
  assert one.keys() == two.keys()
  return {key for key in one if one[key] != two[key]}


@pytest.mark.parametrize(
  ("words", "changes"),
  [
    (
      ["--seed=5", "--config.model.d_ff=7"],
      ["seed: 0 there, 5 here", "model.d_ff: None there, 7 here"],
    ),
    # The schedule depends on them.
    ([f"--steps={STEPS + 100}"], [f"steps: {STEPS} there, {STEPS + 100} here"]),
  ],
)
def test_another_configuration_is_refused_with_the_keys(
  finished, words, changes, command
):
  before = commands.last_checkpoint(finished)
  result = command(f"--workdir={finished}", *words)
  for change in changes:
    commands.assert_refused(result, change)
  assert commands.last_checkpoint(finished).keys() == before.keys()


def test_a_finished_run_trains_further_by_the_advice(finished, tmp_path, command):
  folder = tmp_path / "run"
  shutil.copytree(finished, folder)
  words = [f"--workdir={folder}", f"--steps={STEPS + 2}"]
  _, _, err = command(*words)
  assert "trains further" not in err
  advice = err[err.index("'--config.train.schedule=") + 1 :].partition("' too")[0]
  advice = advice.replace("'\"'\"'", "'")
  status, out, err = command(*words, advice)
  assert (status, err) == (0, ""), err
  assert f"Resuming at step {STEPS}" in out
  kept = [x for x in commands.records(folder) if x["step"] <= STEPS]
  assert kept == commands.records(finished)
  last = commands.records(folder)[-2:]
  assert [(x["step"], x["split"]) for x in last] == [
    (STEPS + 2, "train"),
    (STEPS + 2, "validation"),
  ]
  assert last[0]["learning_rate"] == pytest.approx(0.1 * 6e-3)
  # From then on the folder says all, and the schedule depends on no length.
  assert command(f"--workdir={folder}", f"--steps={STEPS + 3}")[0] == 0


def test_another_past_is_no_extension(finished, command):
  for spec in (
    f"continued(of='constant', at={STEPS})",
    f"continued(of='cosine', at={STEPS - 1})",
  ):
    words = [f"--workdir={finished}", f"--config.train.schedule={spec}", "--steps=99"]
    commands.assert_refused(command(*words), "train.schedule: 'cosine' there")
