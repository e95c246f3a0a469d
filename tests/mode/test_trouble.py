"""A loss that is not finite: the run stops, skips the step or rolls back, exactly."""

import json

import numpy as np
import pytest

from attention_lab import training
from attention_lab.dataset.copy import Copy
from attention_lab.errors import UserError
from attention_lab.mode import train
from tests.commands import last_checkpoint, records
from tests.mode.test_seeds import stop_after
from tests.parts import tiny_config

BAD = (5, 9)  # Of these steps, counted from 0, the batch is broken.


@pytest.fixture(autouse=True)
def broken_batches(monkeypatch):
  """Weights of two steps are too large, on one of the devices."""
  whole = Copy.batches

  def batches(self, split, step, count, batch_size, *shard):
    found = whole(self, split, step, count, batch_size, *shard)
    weights = np.array(found.weights)
    for bad in BAD:
      if split == "train" and step <= bad < step + count:
        weights[bad - step, 3] = 3e38  # Their sum is infinite.
    return found._replace(weights=weights)

  monkeypatch.setattr(Copy, "batches", batches)


def a_config(policy, **changes):
  return tiny_config(
    steps=12,
    log__every=4,
    evaluation__every=12,
    checkpoint__every=4,
    log__tensorboard=False,
    model__num_layers=1,
    train__on_nonfinite=policy,
    **changes,
  )


def events(folder):
  return [(r["step"], r["event"]) for r in records(folder) if r["split"] == "event"]


@pytest.fixture(scope="module")
def skipped(tmp_path_factory):
  """Where a run that skips leaves its folder."""
  return tmp_path_factory.mktemp("runs") / "skipped"


def test_what_is_skipped_is_told_and_counts_as_a_step(skipped, capsys):
  assert train.run(a_config("skip"), str(skipped)) == 0
  assert events(skipped) == [(6, "skip"), (10, "skip")]
  assert "step 6  skip: loss nan" in capsys.readouterr().out
  assert json.loads((skipped / "summary.json").read_text())["steps"] == 12
  arrays = last_checkpoint(skipped)
  assert all(np.isfinite(x).all() for x in arrays.values())
  (count,) = [x for name, x in arrays.items() if name == ".step"]
  assert count == 12


def test_a_run_that_skips_goes_on_bit_for_bit(skipped, tmp_path, monkeypatch):
  run = str(tmp_path / "run")
  with monkeypatch.context() as patch:
    stop_after(patch, 4)
    assert train.run(a_config("skip", train__steps_per_call=2), run) == 143
  assert 6 <= records(run)[-1]["step"] < 12
  assert train.run(a_config("skip"), run) == 0
  assert records(run) == records(skipped)
  for name, array in last_checkpoint(skipped).items():
    np.testing.assert_array_equal(last_checkpoint(run)[name], array, err_msg=name)


def test_a_rollback_goes_on_from_what_was_saved(tmp_path, monkeypatch):
  monkeypatch.setattr(training.Trainer, "pass_over", noted := Noted())
  assert train.run(a_config("rollback"), str(tmp_path / "run")) == 0
  assert events(tmp_path / "run") == [(6, "rollback"), (10, "rollback")]
  # Saved at steps 4 and 8; what was learnt after them is gone.
  assert [int(state.step) for state in noted.given] == [4, 8]


class Noted:
  """Stands in for `pass_over`, and remembers the states that were given."""

  def __init__(self):
    self.given = []
    self.whole = training.Trainer.pass_over

  def __get__(self, trainer, _):
    def pass_over(states):
      self.given += states
      self.whole(trainer, states)

    return pass_over


def test_the_limit_stops_the_run(tmp_path):
  config = a_config("skip", train__nonfinite_limit=1)
  with pytest.raises(UserError, match="At step 9 .*1 steps were passed over before"):
    train.run(config, str(tmp_path / "run"))
  assert events(tmp_path / "run") == [(6, "skip"), (9, "not_finite")]


def test_several_seeds_are_refused(tmp_path):
  with pytest.raises(UserError, match="is for one seed at a time"):
    train.run(a_config("skip", seeds=2), str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()
