"""A run that was killed, stopped or damaged ends as the one that never was."""

import json
import shutil
import signal
import time

import numpy as np
import pytest

from attention_lab import main
from tests import commands

STEPS = 3000
WORDS = [
  *commands.TINY,
  f"--steps={STEPS}",
  "--config.log.every=70",
  "--config.evaluation.every=500",
  "--config.checkpoint.every=100",
  "--config.model.dropout=0.1",
]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
  """A run from beginning to end."""
  workdir = tmp_path_factory.mktemp("runs") / "uninterrupted"
  status, _, err = commands.run(*WORDS, f"--workdir={workdir}")
  assert (status, err) == (0, "")
  return workdir


def wait_for(condition, process):
  """Waits until the run is where it should be."""
  deadline = time.monotonic() + 120
  while not condition():
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < deadline
    time.sleep(0.01)


def interrupted(workdir, number, checkpoints=1):
  """Starts the run and sends it a signal after its first further checkpoints."""
  folder = workdir / "checkpoints"

  def last_step():
    return max((int(path.name[:9]) for path in folder.glob("*.npz")), default=0)

  until = last_step() + 100 * checkpoints
  process = commands.start(*WORDS, f"--workdir={workdir}")
  wait_for(lambda: last_step() >= until, process)
  process.send_signal(number)
  out, err = process.communicate(timeout=120)
  assert not (workdir / "summary.json").exists(), "it ended before the signal"
  return process.returncode, out, err


def assert_same_end(workdir, uninterrupted):
  """Bit for bit the same parameters, optimizer state, key and metrics."""
  expected = commands.last_checkpoint(uninterrupted)
  actual = commands.last_checkpoint(workdir)
  assert actual.keys() == expected.keys()
  for name, array in expected.items():
    np.testing.assert_array_equal(actual[name], array, err_msg=name)
  assert commands.records(workdir) == commands.records(uninterrupted)
  summaries = [
    json.loads((folder / "summary.json").read_text())
    for folder in (workdir, uninterrupted)
  ]
  for key in ("train", "validation", "parameters", "steps"):
    assert summaries[0][key] == summaries[1][key]


def go_on(workdir):
  """Goes on with a run by its folder alone."""
  status, out, err = commands.run(f"--workdir={workdir}")
  assert status == 0, err
  return out, err


def test_a_killed_run_goes_on_bit_for_bit(uninterrupted, tmp_path):
  status, _, _ = interrupted(tmp_path / "run", signal.SIGKILL, checkpoints=2)
  assert status == -signal.SIGKILL
  out, _ = go_on(tmp_path / "run")
  assert "Going on at step" in out
  assert_same_end(tmp_path / "run", uninterrupted)


def test_a_stopped_run_saves_and_goes_on_bit_for_bit(uninterrupted, tmp_path):
  for number in (signal.SIGTERM, signal.SIGINT):  # The second goes on with the first's.
    status, out, err = interrupted(tmp_path / "run", number)
    assert (status, err) == (128 + number, "")
    assert "Interrupted at step" in out
    assert f"--workdir={tmp_path / 'run'}" in out
  go_on(tmp_path / "run")
  assert_same_end(tmp_path / "run", uninterrupted)


def test_a_damaged_checkpoint_is_passed_over(uninterrupted, tmp_path):
  shutil.copytree(uninterrupted, tmp_path / "run")
  newest = max((tmp_path / "run" / "checkpoints").glob("*.npz"))
  content = bytearray(newest.read_bytes())
  newest.write_bytes(content[: len(content) // 2])
  out, err = go_on(tmp_path / "run")
  assert f"Going on at step {STEPS - 100}" in out
  assert err == f"warning: {newest} is damaged; trying the one before it.\n"
  assert_same_end(tmp_path / "run", uninterrupted)


def test_a_finished_run_has_nothing_left_to_do(uninterrupted):
  before = commands.records(uninterrupted)
  out, _ = go_on(uninterrupted)
  assert f"Going on at step {STEPS}" in out
  assert commands.records(uninterrupted) == before


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
@pytest.mark.usefixtures("own_flags")
def test_another_configuration_is_refused_with_the_keys(
  uninterrupted, words, changes, capsys
):
  before = commands.last_checkpoint(uninterrupted)
  argv = ["main", f"--workdir={uninterrupted}", *words]
  assert main.main(main.read_flags(argv)) == 2
  out, err = capsys.readouterr()
  assert out == ""
  assert all(change in err for change in changes)
  assert err.count("\n") == 1
  assert commands.last_checkpoint(uninterrupted).keys() == before.keys()
