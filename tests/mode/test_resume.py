"""What a finished run is gone on with; tests/faults has what was killed or damaged."""

import pytest

from attention_lab import main
from tests import commands

STEPS = 30
WORDS = [
  *commands.TINY,
  f"--steps={STEPS}",
  "--skip_checks",
  "--config.log.every=7",
  "--config.checkpoint.every=10",
]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
  """A run from beginning to end."""
  workdir = tmp_path_factory.mktemp("runs") / "uninterrupted"
  status, _, err = commands.run(*WORDS, f"--workdir={workdir}")
  assert (status, err) == (0, "")
  return workdir


def go_on(workdir):
  """Goes on with a run by its folder alone."""
  status, out, err = commands.run(f"--workdir={workdir}")
  assert status == 0, err
  return out, err


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
