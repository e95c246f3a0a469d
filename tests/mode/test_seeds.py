"""Several seeds side by side end as those that trained alone, in folders of their own."""

import functools
import json
import shutil
import signal

import jax
import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.mode import evaluate, train
from attention_lab.nn import cross_entropy
from attention_lab.run.checkpoint import Checkpoints
from attention_lab.training import loop, preflight
from attention_lab.training.preflight import seed_configs
from attention_lab.training.seeds import make_stepper, select, side_by_side_pays
from attention_lab.training.stepper import Stepper
from attention_lab.training.window import Window
from tests.commands import last_checkpoint, records
from tests.parts import tiny_config

SEED, STEPS = 3, 6
QUIET = {"log__tensorboard": False, "model__num_layers": 1}
EVERY = {"log__every": 2, "evaluation__every": 4, "checkpoint__every": 3}


def a_config(**changes):
  return tiny_config(
    **{"seed": SEED, "steps": STEPS, "model__dropout": 0.2, **QUIET, **EVERY, **changes}
  )


@pytest.fixture(autouse=True, scope="module")
def two_devices():
  """Whole runs take two of the devices: fewer are quicker to compile for."""
  two = jax.local_devices()[:2]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(train, "all_devices", lambda: two)
    patch.setattr(evaluate, "local_devices", lambda: two)
    yield


@pytest.fixture(scope="module")
def together(tmp_path_factory):
  """A finished run of two seeds."""
  folder = tmp_path_factory.mktemp("runs") / "together"
  assert train.run(a_config(seeds=2), str(folder)) == 0
  return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
  """The same seeds, one after the other."""
  folder = tmp_path_factory.mktemp("runs")
  for own in seed_configs(a_config(seeds=2)):
    assert train.run(own, str(folder / f"seed{own.seed}")) == 0
  return folder


def assert_same_end(folder, expected):
  """The same figures and the same state, to rounding."""
  state = last_checkpoint(folder)
  for name, array in last_checkpoint(expected).items():
    np.testing.assert_allclose(state[name], array, rtol=2e-4, atol=2e-6, err_msg=name)
  found, wanted = records(folder), records(expected)
  for one, other in zip(found, wanted, strict=True):
    assert one.pop("split") == other.pop("split")
    assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_side_by_side_ends_as_alone(together, alone, seed):
  assert_same_end(together / f"seed{seed}", alone / f"seed{seed}")


def test_the_seeds_differ(together):
  first, second = (records(together / f"seed{SEED + i}")[0] for i in range(2))
  assert first["loss"] != pytest.approx(second["loss"], rel=1e-4)


def test_a_folder_is_that_of_a_run_of_its_own(together, alone):
  for path in sorted(alone.glob("*/*")):
    assert (together / path.relative_to(alone)).exists(), path
  for seed in (SEED, SEED + 1):
    contents, summaries = [], []
    for folder in (together, alone):
      run = folder / f"seed{seed}"
      contents.append(json.loads((run / "config.json").read_text())["config"])
      summaries.append(json.loads((run / "summary.json").read_text()))
    assert contents[0] == contents[1]
    assert contents[0]["seed"] == seed
    assert summaries[0].keys() == summaries[1].keys()
    assert [x["side_by_side"] for x in summaries] == [2, 1]
    assert summaries[0]["validation"] == pytest.approx(
      summaries[1]["validation"], rel=1e-4
    )


def test_a_seed_is_evaluated_from_its_folder(together):
  run = together / f"seed{SEED + 1}"
  assert evaluate.run(seed_configs(a_config(seeds=2))[1], str(run)) == 0
  evaluation = json.loads((run / "evaluation.json").read_text())
  evaluation["validation"].pop("perplexity")
  summary = json.loads((run / "summary.json").read_text())
  assert evaluation["validation"] == summary["validation"]
  (run / "evaluation.json").unlink()


def stop_after(monkeypatch, steps):
  """Send a signal after the validation of a step."""

  def signalled(run):
    return signal.SIGTERM if run._runs[1].validated[0] >= steps else 0

  monkeypatch.setattr(loop.Loop, "_signal", signalled)


@pytest.fixture
def stopped(tmp_path, monkeypatch, capsys):
  """Two seeds that were stopped before their end, and what was printed last."""
  with monkeypatch.context() as patch:
    stop_after(patch, 4)
    config = a_config(seeds=2)
    assert train.run(config, str(tmp_path / "run")) == 128 + signal.SIGTERM
  line = capsys.readouterr().out.splitlines()[-1]
  assert not list(tmp_path.rglob("summary.json"))
  return tmp_path / "run", line


def assert_same_bits(folder, expected):
  jax.tree.map(
    np.testing.assert_array_equal, last_checkpoint(folder), last_checkpoint(expected)
  )
  assert records(folder) == records(expected)


def test_an_interrupted_run_goes_on_bit_for_bit(stopped, together, capsys):
  folder, line = stopped
  assert "saved all 2 seeds" in line
  assert line.endswith(f"--workdir={folder}")
  # As if it had been killed between saving the one and the other.
  max((folder / f"seed{SEED + 1}" / "checkpoints").iterdir()).unlink()
  assert train.run(a_config(seeds=2), str(folder)) == 0
  out = capsys.readouterr().out
  assert "Resuming at step 3 in" in out
  assert f"Seed {SEED} was at step 4: the seeds resume together" in out
  assert f"Seed {SEED + 1} was at" not in out
  for seed in (SEED, SEED + 1):
    assert_same_bits(folder / f"seed{seed}", together / f"seed{seed}")


@pytest.mark.parametrize("place", ["save", "remove_old"])
def test_a_kill_between_the_saves_of_two_seeds_loses_one_interval(
  tmp_path, monkeypatch, capsys, together, place
):
  config, folder = a_config(seeds=2), tmp_path / "run"
  config.checkpoint.keep, real = 1, getattr(Checkpoints, place)

  def die(checkpoints, *words):
    if last_step(folder) == STEPS and f"seed{SEED + 1}" in str(checkpoints.folder):
      raise KeyboardInterrupt
    return real(checkpoints, *words)

  with monkeypatch.context() as patch:
    patch.setattr(Checkpoints, place, die)
    with pytest.raises(KeyboardInterrupt):
      train.run(config, str(folder))
  capsys.readouterr()
  assert train.run(config, str(folder)) == 0
  step = STEPS // 2 if place == "save" else STEPS
  assert f"Resuming at step {step} in" in capsys.readouterr().out
  for seed in (SEED, SEED + 1):
    assert_same_bits(folder / f"seed{seed}", together / f"seed{seed}")
  assert len(list(folder.rglob("*.npz"))) <= 2 * 2  # The newest and the best.


def last_step(folder):
  return Checkpoints(folder / f"seed{SEED}" / "checkpoints", 1).last_step()


def test_seeds_without_a_common_step_are_not_started_anew(stopped):
  folder, _ = stopped
  for number, seed in enumerate((SEED, SEED + 1)):
    saved = sorted((folder / f"seed{seed}" / "checkpoints").iterdir())
    saved[number].unlink()
  before = sorted(folder.rglob("*"))
  with pytest.raises(UserError, match="seeds have no checkpoint of one step in common"):
    train.run(a_config(seeds=2), str(folder))
  assert sorted(folder.rglob("*")) == before


def test_one_seed_goes_on_alone(stopped, alone):
  folder, _ = stopped
  own = seed_configs(a_config(seeds=2))[1]
  assert train.run(own, str(folder / f"seed{own.seed}")) == 0
  assert_same_end(folder / f"seed{own.seed}", alone / f"seed{own.seed}")


def test_runs_that_began_alone_go_on_side_by_side(alone, tmp_path, capsys):
  shutil.copytree(alone, folder := tmp_path / "copy")
  for path in folder.glob("*/checkpoints/*6-*"):
    path.unlink()
  assert train.run(a_config(seeds=2), str(folder)) == 0
  for seed in (SEED, SEED + 1):
    assert_same_end(folder / f"seed{seed}", alone / f"seed{seed}")
  lines = capsys.readouterr().out.splitlines()
  assert f"Seeds {SEED} to {SEED + 1}, side by side" in lines
  (line,) = (line for line in lines if line.startswith("step 6/6  train"))
  low, high = sorted(records(folder / f"seed{SEED + i}")[-2]["loss"] for i in range(2))
  spread = f"loss {(low + high) / 2:.4g} ({low:.4g}–{high:.4g} over 2 seeds)"
  assert spread in line
  assert any("over 2 seeds" in x for x in lines if x.startswith("validation: "))


def states(config, count):
  """Return states and windows after a few steps of `count` seeds."""
  devices, windows = jax.local_devices()[:1], [Window.of() for _ in range(count)]
  stepper = make_stepper(
    assemble(config),
    devices,
    [config.seed + i for i in range(count)],
    config.batch_size,
    config.train.micro_batches,
  )
  stepper.compile()
  while stepper.step < 3:
    metrics = stepper.advance(3)
    for i, window in enumerate(windows):
      window.extend(select(metrics, i, count, axis=1))
  state = stepper.state()
  return [select(state, i, count, axis=0) for i in range(count)], windows


def test_what_is_computed_in_blocks_is_the_same_side_by_side(monkeypatch):
  """Attention, where `auto` takes blocks; the logits; and the batch, in two parts."""
  monkeypatch.setattr(cross_entropy, "ROOM_ON_CPU", 64)
  changes = {
    "dataset": "copy(sequence_length=130, validation_examples=8)",
    "train__label_smoothing": 0.1,
    "train__micro_batches": 2,
  }
  config = a_config(**changes)
  both, windows = states(config, 2)
  second = seed_configs(a_config(seeds=2, **changes))[1]
  (expected,), (window,) = states(second, 1)
  np.testing.assert_allclose(windows[1], window, rtol=1e-4)
  close = functools.partial(np.testing.assert_allclose, rtol=5e-4, atol=5e-6)
  jax.tree.map(close, both[1], expected)


def test_the_seed_that_is_not_finite_is_named(stopped, monkeypatch):
  folder, _ = stopped
  real = Stepper.compile

  def spoil(self, check):
    factor = np.array([1, np.nan], np.float32)  # Of the first and the second seed.
    spoiled = jax.tree.map(
      lambda x: x * factor.reshape(2, *[1] * (x.ndim - 1)), self._loaded.params
    )
    self._loaded = self._loaded._replace(params=spoiled)
    real(self, check)

  monkeypatch.setattr(Stepper, "compile", spoil)
  before = {path: path.read_bytes() for path in folder.rglob("*.npz")}
  with pytest.raises(UserError, match=f"the loss of seed {SEED + 1} is nan") as error:
    train.run(a_config(seeds=2), str(folder))
  assert f"seed{SEED + 1}" in str(error.value)
  assert records(folder / f"seed{SEED + 1}")[-1]["event"] == "not_finite"
  assert records(folder / f"seed{SEED}")[-1].get("event") is None
  assert {path: path.read_bytes() for path in folder.rglob("*.npz")} == before


def test_folders_of_one_and_of_several_are_not_mixed(together):
  with pytest.raises(UserError, match="holds 2 seeds: resume all with --seeds=2"):
    train.run(a_config(), str(together))
  one = together / f"seed{SEED}"
  with pytest.raises(UserError, match="holds one run; name another --workdir"):
    train.run(a_config(seeds=2), str(one))


def test_a_seed_that_is_too_large_is_refused():
  with pytest.raises(UserError, match="--seed=4294967296: take less"):
    seed_configs(a_config(seed=2**32 - 1, seeds=2))


class Idle:
  """Trains nothing."""

  def run(self):
    return 0


@pytest.mark.parametrize(
  ("flops", "platform", "pays"),
  [(1e9, "cpu", False), (1e9, "gpu", True), (1e12, "gpu", False)],
)
def test_side_by_side_pays_for_a_small_model_on_an_accelerator(flops, platform, pays):
  assert side_by_side_pays(flops, platform) == pays


def test_the_check_for_leaks_runs_once(tmp_path, monkeypatch):
  checked = []
  monkeypatch.setattr(
    preflight, "refuse_leak", lambda *parts: bool(checked.append(parts))
  )
  monkeypatch.setattr(train, "Loop", lambda *parts: Idle())
  train.run(a_config(seeds=2, skip_checks=False), str(tmp_path / "run"))
  assert len(checked) == 1
