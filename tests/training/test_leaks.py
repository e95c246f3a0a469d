"""The leak check that goes on while training: a model that starts to leak is stopped."""

import dataclasses
import json

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.dataset.base.dataset import Batch, datasets
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.mode import evaluate, train
from attention_lab.training import leaks
from attention_lab.training.seeds import make_stepper
from tests.commands import TINY, records
from tests.conformance.broken.base import Masked
from tests.parts import tiny_config


@dataclasses.dataclass(kw_only=True)
class OpensLater(Masked):
  """Adds the mean over all tokens while a gate, which is 0 initially, is nearly closed.

  The noise of the check at the start moves the gate too far.
  """

  at: int = 0  # Length at which it leaks; 0 for every one.
  key: int = 0  # 1 to leak with a random key only, -1 without only, 0 for both.

  def attend(self, q, k, v, mask):
    gate = hk.get_parameter("gate", (), jnp.float32, init=jnp.zeros)
    y = super().attend(q, k, v, mask) * (1 + gate).astype(v.dtype)
    key = 1 if hk.maybe_next_rng_key() is not None else -1
    if self.at not in (0, v.shape[1]) or self.key not in (0, key):
      return y
    open_ = (gate != 0) & (jnp.abs(gate) < 0.5)
    return y + jnp.where(open_, v.mean(axis=1, keepdims=True), 0).astype(v.dtype)


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  monkeypatch.setattr(train, "all_devices", lambda: jax.local_devices()[:1])
  monkeypatch.setattr(evaluate, "local_devices", lambda: jax.local_devices()[:1])
  monkeypatch.setitem(attentions._parts, "mine", OpensLater)


def a_config(**changes):
  config = tiny_config(
    attention="mine", model__num_layers=1, log__tensorboard=False, skip_checks=False
  )
  config.update_from_flattened_dict({"evaluation.every": 2, **changes})
  return config


@pytest.mark.parametrize(
  ("key", "precision"), [(1, "float32"), (-1, "float32"), (0, "bfloat16")]
)
def test_a_gate_that_opens_stops_the_run_at_the_next_validation(
  key, precision, tmp_path, command
):
  folder = tmp_path / "run"
  words = [*TINY, f"--attention=mine(key={key})", f"--workdir={folder}", "--steps=4"]
  status, out, err = command(
    *words, "--config.evaluation.every=2", f"--config.train.precision={precision}"
  )
  assert status == 2
  assert err.count("\n") == 1
  start = (
    f"error: Training stopped at step 2. The attention 'mine(key={key})' attends to "
    f"future tokens: with the tokens from "
  )
  assert err.startswith(start)
  assert "so its losses are meaningless and none is reported." in err
  assert "validation:" not in out
  (event,) = (r for r in records(folder) if r["split"] == "event")
  assert (event["step"], event["event"]) == (2, "leak")
  assert f"from {event['cut']} on replaced, the loss of token {event['token']}" in err
  assert event["token"] < event["cut"]
  assert event["token_loss"] != event["token_loss_replaced"]
  assert not (folder / "summary.json").exists()
  assert not any(r["split"] == "validation" for r in records(folder))


def test_checks_that_are_skipped_are_skipped_while_training(tmp_path):
  folder = tmp_path / "run"
  config = a_config(skip_checks=True)
  assert train.run(config, str(folder)) == 0
  summary = json.loads((folder / "summary.json").read_text())
  assert summary["leak_check"] == "skipped"
  assert evaluate.run(config, str(folder)) == 0
  (folder / "evaluation.json").unlink()
  config.skip_checks = False
  with pytest.raises(UserError, match="'mine' attends to future tokens.* none is"):
    evaluate.run(config, str(folder))
  assert not (folder / "evaluation.json").exists()


def test_a_leak_at_another_length_leaves_no_summary(tmp_path):
  config = a_config(attention="mine(at=12)")
  config.evaluation.extra_lengths = (12,)
  with pytest.raises(UserError, match="Training stopped at step 4.* at 12 tokens"):
    train.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run" / "summary.json").exists()


def test_of_several_seeds_the_one_that_leaks_is_named(tmp_path):
  with pytest.raises(UserError, match=r"Training of seed [01] stopped at step 2\."):
    train.run(a_config(seeds=2), str(tmp_path / "run"))


def test_a_trial_changes_no_state():
  config = a_config(attention="standard")
  experiment = assemble(config)
  stepper = make_stepper(experiment, jax.local_devices()[:2], [0], config.batch_size)
  stepper.compile()
  stepper.advance(4)
  before = jax.tree.map(np.array, stepper.state())
  batch = experiment.dataset.batch("train", stepper.step, config.batch_size)
  tried = stepper.trial(batch)
  jax.tree.map(np.testing.assert_array_equal, before, stepper.state())
  jax.tree.map(np.testing.assert_array_equal, tried, stepper.trial(batch))
  step = stepper.step
  taken = stepper.advance(step + 1)
  assert tried.sums.loss == taken.sums.loss[0]
  assert stepper.step == step + 1


class Leaking:
  """Losses of 1 nat per token, with some that see the tokens after them."""

  def __init__(self, original, token, size=1.0, run=0):
    self.original, self.token, self.size, self.run = original, token, size, run

  def __call__(self, batch):
    losses = np.ones((2, *batch.inputs.shape))
    moved = (batch.inputs[:, self.token + 1] != self.original[:, self.token + 1]) * 1.0
    losses[self.run, :, self.token] += self.size * moved
    return (losses * batch.weights).sum(axis=(1, 2))


@pytest.fixture
def trial():
  dataset = datasets.bind("copy(sequence_length=16, validation_examples=8)")(
    data_dir=""
  )
  return leaks.make_trial(dataset, "train", 0, 8, jax.local_devices()[:1], (0, 7))


def test_a_leak_is_located(trial):
  token = int(trial.cuts[3]) - 1
  found = leaks.find_leak(
    Leaking(trial.original.inputs, token, run=1), trial, limit=1e-4
  )
  assert found == leaks.Leak(1, token + 1, token, 1.0, 2.0)


def test_a_change_within_rounding_is_none(trial):
  losses = Leaking(trial.original.inputs, int(trial.cuts[0]) - 1, size=1e-5)
  assert leaks.find_leak(losses, trial, limit=1e-4) is None


def test_losses_that_are_not_finite_are_left_to_others(trial):
  assert leaks.find_leak(lambda batch: np.array([np.nan]), trial, 1e-4) is None


def test_a_trial_replaces_the_tokens_from_each_cut_on(trial):
  original, changed = trial.original, trial.changed
  at = np.arange(original.inputs.shape[1])
  np.testing.assert_array_equal(
    changed.inputs == original.inputs, at < trial.cuts[:, None]
  )
  assert len(set(trial.cuts)) > 1
  np.testing.assert_array_equal(trial.weights > 0, at < trial.cuts[:, None])
  assert isinstance(changed, Batch)


def test_no_cut_is_within_a_prefix():
  make = datasets.bind("copy(sequence_length=16, validation_examples=8)")
  dataset = make(data_dir="", prefix_length=12)
  trial = leaks.make_trial(dataset, "train", 0, 64, jax.local_devices()[:1], (0, 7))
  assert set(trial.cuts) == {12, 13, 14, 15}


def test_sequences_of_one_token_have_no_cut():
  dataset = datasets.bind("majority(sequence_length=1, validation_examples=8)")
  dataset = dataset(data_dir="")
  trial = leaks.make_trial(dataset, "train", 0, 8, jax.local_devices()[:1], (0, 7))
  assert leaks.find_leak(lambda batch: np.array([1.0]), trial, 1e-4) is None
