"""What a finished run is gone on with; tests/faults has what was killed or damaged."""

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
