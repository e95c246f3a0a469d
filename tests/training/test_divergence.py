"""What is not finite is never trained on: the run stops, skips the step or goes back."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from attention_lab.distributed.devices import AXIS, replicate, shard, unreplicate
from attention_lab.errors import UserError
from attention_lab.mode import train
from attention_lab.nn.metrics import Sums
from attention_lab.run.recorder import open_recorder
from attention_lab.training import loop, preflight, validation
from attention_lab.training.divergence import advance
from attention_lab.training.loss_monitor import LossMonitor
from attention_lab.training.window import Window
from attention_lab.update import StepMetrics, make_step, make_update
from tests.commands import last_checkpoint, records
from tests.parts import tiny_config
from tests.test_update import OPTIMIZER, K, batches, state
from tests.test_update import loss as bigram

BAD = (7, 10)  # Steps that give no number.
B_HALF = 8  # The first row of the second of two devices.


def poisoned(where):
  """A loss that is broken from the second step on, on one device of two."""

  def loss(params, key, batch):
    sums = bigram(params, key, batch)
    here = (jax.lax.axis_index(AXIS) == 1) & (batch.inputs[0, 0] == batch.targets[0, 0])
    if where == "gradient":  # Its value is right: √0 has no derivative.
      zero = jnp.where(here, 0.0, 1.0) * params["table"][0, 0]
      broken = 0.0 * jnp.sqrt(zero**2)
    else:
      broken = jnp.where(here, {"nan": jnp.nan, "inf": jnp.inf}[where], 0.0)
    return sums._replace(loss=sums.loss + broken)

  return loss


@pytest.mark.parametrize("where", ["nan", "inf", "gradient"])
def test_trouble_on_one_device_keeps_all_from_the_step(where):
  devices = jax.local_devices()[:2]
  update = make_update(make_step(poisoned(where), OPTIMIZER), devices)
  given = batches()
  given.targets[:, B_HALF, 0] = given.inputs[:, B_HALF, 0] + 1
  given.targets[1, B_HALF, 0] = given.inputs[1, B_HALF, 0]
  placed = shard(given, devices, axis=1)
  after, metrics = update(replicate(state(), devices), placed, K)
  assert_stopped_before(1, after, metrics)
  good, _ = update(replicate(state(), devices), placed, 1)
  jax.tree.map(np.testing.assert_array_equal, unreplicate(after), unreplicate(good))


def assert_stopped_before(step, after, metrics):
  """Assert that every device holds the same finite state of a step."""
  assert unreplicate(metrics).taken.tolist() == [1.0] * step + [0.0] * (K - step)
  for leaf in jax.tree.leaves(after):
    copies = [np.asarray(each.data) for each in leaf.addressable_shards]
    for copy in copies:
      np.testing.assert_array_equal(copy, copies[0])
      assert np.isfinite(copy).all()
  assert unreplicate(after).step == step


@pytest.fixture(scope="module")
def plain():
  devices = jax.local_devices()[:2]
  return devices, make_update(make_step(bigram, OPTIMIZER), devices)


def test_a_batch_that_is_not_finite_is_not_trained_on(plain):
  devices, update = plain
  given = batches()
  given.weights[2, B_HALF, 1] = np.nan
  after, metrics = update(replicate(state(), devices), shard(given, devices, axis=1), K)
  assert_stopped_before(2, after, metrics)


@pytest.mark.parametrize("copy", [0, 1])
def test_parameters_that_are_damaged_on_one_device_stop_all(plain, copy):
  """A token that no batch holds: neither loss nor gradient knows of its row."""
  devices, update = plain
  given = batches()
  given.inputs[given.inputs == 4] = 3
  placed = replicate(state(), devices)
  table = np.stack([state().params["table"]] * 2)
  table[copy, 4, 2] = np.nan
  sharding = placed.params["table"].sharding
  damaged = placed._replace(params={"table": jax.device_put(table, sharding)})
  after, metrics = update(damaged, shard(given, devices, axis=1), K)
  assert unreplicate(metrics).taken.tolist() == [0.0] * K
  assert np.isfinite(unreplicate(metrics).sums.loss[0])
  assert unreplicate(after).step == 0
  np.testing.assert_array_equal(np.asarray(after.params["table"]), table)


def test_an_update_that_overflows_is_not_taken():
  devices = jax.local_devices()[:1]
  update = make_update(make_step(bigram, optax.sgd(3e38)), devices)
  after, metrics = update(
    replicate(state(optax.sgd(3e38)), devices), shard(batches(), devices, axis=1), K
  )
  assert_stopped_before(0, after, metrics)


def config(**changes):
  return tiny_config(
    model__num_layers=1,
    train__schedule="constant",
    checkpoint__every=3,
    log__every=2,
    log__tensorboard=False,
    **changes,
  )


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
  """Run train on one device, which is quicker to compile for."""
  monkeypatch.setattr(train, "all_devices", lambda: jax.local_devices()[:1])


@pytest.fixture
def troubled(monkeypatch):
  """Make the loss of the steps in BAD no number, wherever a run comes to them."""
  assemble = preflight.assemble

  def broken(*words):
    experiment = assemble(*words)
    rows = [experiment.dataset.batch("train", step, 8).inputs[3:4] for step in BAD]

    def loss(params, key, batch):
      sums = experiment.loss(params, key, batch)
      alike = [(batch.inputs == row).all(axis=-1).any() for row in rows]
      bad = jnp.any(jnp.stack(alike)) & (key is not None)
      return Sums(jnp.where(bad, jnp.nan, sums.loss), sums.correct, sums.weight)

    return experiment._replace(loss=loss)

  monkeypatch.setattr(preflight, "assemble", broken)


@pytest.mark.parametrize(
  ("policy", "event", "back_to", "stop"),
  [("skip", "skipped", (None, None), 8), ("rollback", "rolled_back", (6, 9), 7)],
)
def test_a_run_goes_on_behind_trouble_and_a_resumed_one_does_the_same(
  troubled, tmp_path, policy, event, back_to, stop
):
  whole, part = (config(steps=n, train__on_nonfinite=policy) for n in (12, stop))
  assert train.run(whole, str(tmp_path / "whole")) == 0
  found = [r for r in records(tmp_path / "whole") if "event" in r]
  events = [(r["step"], r["event"], r.get("to")) for r in found]
  assert events == [(8, event, back_to[0]), (11, event, back_to[1])]
  assert all(r["loss"] == "nan" for r in found)
  # Just before the trouble, or just behind it.
  assert train.run(part, str(tmp_path / "resumed")) == 0
  assert train.run(whole, str(tmp_path / "resumed")) == 0
  assert [r for r in records(tmp_path / "resumed") if "event" in r] == found
  expected = last_checkpoint(tmp_path / "whole")
  for key, array in last_checkpoint(tmp_path / "resumed").items():
    np.testing.assert_array_equal(array, expected[key])
    assert array.dtype.kind != "f" or np.isfinite(array).all()


def test_only_so_many_steps_are_left_out_over_all_starts(troubled, tmp_path):
  limited = {"train__on_nonfinite": "skip", "train__nonfinite_limit": 1}
  assert train.run(config(steps=9, **limited), str(tmp_path / "run")) == 0
  with pytest.raises(UserError, match="1 step was skipped before it, the most that"):
    train.run(config(steps=12, **limited), str(tmp_path / "run"))
  events = [r["event"] for r in records(tmp_path / "run") if "event" in r]
  assert events == ["skipped", "not_finite"]


def test_a_spike_is_told_and_recorded(tmp_path):
  recorder = open_recorder(tmp_path, 300, "", {}, False, "off")
  monitor = LossMonitor()
  for step in range(300):
    monitor.observe(2 + 0.01 * (-1) ** step)
  window = Window.of([[2.0], [1.0], [1.0], [1.0]])
  run = SimpleNamespace(recorder=recorder, monitor=monitor, window=window)

  def take(limit):
    losses, two = np.array([4.0, 14.0, 4.0]), np.full(3, 2.0)  # Of 2 tokens each.
    return StepMetrics(Sums(losses, two, two), two, np.ones(3))

  stepper = SimpleNamespace(step=300, advance=take)
  (line,) = advance(stepper, [run], 303)
  recorder.close()
  assert line == "step 302: the loss jumped from about 2.000 to 7.000"
  (record,) = records(tmp_path)
  assert (record["step"], record["event"], record["loss"]) == (302, "spike", 7.0)


def test_a_step_to_go_back_to_that_is_gone_is_named(troubled, tmp_path):
  folder = tmp_path / "run"
  assert train.run(config(steps=7, checkpoint__keep=1), str(folder)) == 0
  with pytest.raises(
    UserError, match="back to step 6, but the checkpoint of that step"
  ):
    train.run(config(steps=12, train__on_nonfinite="rollback"), str(folder))


def test_seeds_side_by_side_only_stop(tmp_path):
  with pytest.raises(UserError, match="on_nonfinite=skip skips a step of one seed"):
    train.run(config(train__on_nonfinite="skip", seeds=2), str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_a_validation_loss_that_is_no_number_is_not_reported(tmp_path, monkeypatch):
  monkeypatch.setattr(validation, "split_figures", lambda *_: {"loss": float("nan")})
  with pytest.raises(UserError, match="At step 1 the validation loss of seed 0 is nan"):
    train.run(config(steps=1), str(tmp_path / "run"))
  assert not list((tmp_path / "run" / "checkpoints").iterdir())
  lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
  assert json.loads(lines[-1])["validation_loss"] == "nan"


def test_an_unexpected_exception_says_where_the_run_stands(tmp_path, monkeypatch):
  folder = tmp_path / "run"
  assert train.run(config(steps=2), str(folder)) == 0

  def fail(*_):
    raise RuntimeError("a defect of ours")

  monkeypatch.setattr(loop, "advance", fail)
  with pytest.raises(RuntimeError, match="a defect of ours") as error:
    train.run(config(steps=4), str(folder))
  (note,) = error.value.__notes__
  assert f"The run in {folder} came to step 2; its last checkpoint is of step 2" in note
  assert note.endswith(f"python -m attention_lab.main --workdir={folder}")
