"""Validation is bounded while training, shows its progress, and answers signals."""

import json
import shutil
import signal

import jax
import numpy as np
import pytest

from attention_lab.dataset.base.dataset import num_batches
from attention_lab.dataset.copy import Copy
from attention_lab.mode import train
from attention_lab.training import evaluation
from attention_lab.training.evaluation import VALIDATION_TOKENS, validation_subset
from attention_lab.training.progress import Show
from tests.commands import last_checkpoint, records
from tests.parts import tiny_config

SIZES = "copy(sequence_length=8, validation_examples={})"


def a_config(**changes):
  """Six steps; three validations of three batches each, which come before the saves."""
  every = {f"{section}__every": 2 for section in ("log", "evaluation", "checkpoint")}
  quiet = {"log__tensorboard": False, "model__num_layers": 1}
  dataset = SIZES.format(24)
  return tiny_config(**{"dataset": dataset, "steps": 6, **every, **quiet, **changes})


def meta(folder):
  path = max((folder / "checkpoints").glob("*.npz"))
  with np.load(path) as arrays:
    return json.loads(bytes(arrays["meta.json"]))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs") / "undisturbed"
  assert train.run(a_config(evaluation__extra_lengths=(4,)), str(folder)) == 0
  return folder


@pytest.fixture
def signal_at(monkeypatch):
  """Send a signal while the n-th batch is evaluated; return the batches begun."""
  begun, original = [], evaluation.placed_batches

  def send_at(last, number):
    def batches(*arguments):
      for batch in original(*arguments):
        begun.append(batch)
        if len(begun) == last:
          signal.raise_signal(number)
        yield batch

    monkeypatch.setattr(evaluation, "placed_batches", batches)
    return begun

  return send_at


@pytest.mark.parametrize(
  ("batch", "step", "number"),
  [
    (5, 4, signal.SIGHUP),
    (8, 6, signal.SIGUSR1),  # The last validation.
    (13, 6, signal.SIGTERM),  # Another length, after the last checkpoint.
  ],
)
def test_signal_in_an_evaluation_saves_and_the_resumed_run_repeats_it(
  undisturbed, signal_at, tmp_path, batch, step, number, capsys
):
  config = a_config(evaluation__extra_lengths=(4,))
  begun = signal_at(batch, number)
  assert train.run(config, str(tmp_path / "run")) == 128 + number
  assert len(begun) == batch  # No other batch is evaluated.
  assert f"Interrupted at step {step}; saved" in capsys.readouterr().out
  assert not (tmp_path / "run" / "summary.json").exists()
  last = records(tmp_path / "run")[-1]
  done = batch > 9
  assert (last["step"], last["split"]) == (step, "validation" if done else "train")
  assert train.run(config, str(tmp_path / "run")) == 0
  assert f"Resuming at step {step} in" in capsys.readouterr().out
  assert records(tmp_path / "run") == records(undisturbed)
  arrays = last_checkpoint(tmp_path / "run"), last_checkpoint(undisturbed)
  jax.tree.map(np.testing.assert_array_equal, *arrays)
  for key in ("validation", "validation_loss", "validated", "window", "health"):
    assert meta(tmp_path / "run")[key] == meta(undisturbed)[key]


def test_signal_in_the_validation_of_a_second_seed_records_none(signal_at, tmp_path):
  config = a_config(seeds=2)
  signal_at(5, signal.SIGTERM)
  assert train.run(config, str(tmp_path / "run")) == 128 + signal.SIGTERM
  for seed in (0, 1):
    assert records(tmp_path / "run" / f"seed{seed}")[-1]["split"] == "train"
  assert train.run(config, str(tmp_path / "run")) == 0
  splits = [x["split"] for x in records(tmp_path / "run" / "seed1")]
  assert splits == ["train", "validation"] * 3


def test_a_bound_validates_on_a_part_and_on_all_at_the_end(tmp_path, monkeypatch):
  numbers, original = [], evaluation.placed_batches

  def batches(dataset, split, chosen, *arguments):
    numbers.append((split, list(chosen)))
    return original(dataset, split, chosen, *arguments)

  monkeypatch.setattr(evaluation, "placed_batches", batches)
  assert train.run(a_config(evaluation__batches=2), str(tmp_path / "run")) == 0
  part, every = ("validation", [0, 1]), ("validation", [0, 1, 2])
  assert numbers == [part, part, every, ("train", [0, 1, 2])]
  found = [x for x in records(tmp_path / "run") if x["split"] == "validation"]
  assert [x.get("batches") for x in found] == [2, 2, None]
  # The losses that choose the best checkpoint are all of the same batches.
  saved = meta(tmp_path / "run")
  assert saved["validation_loss"] != saved["validation"]["loss"] == found[-1]["loss"]
  whole = tmp_path / "whole"
  assert train.run(a_config(dataset=SIZES.format(16)), str(whole)) == 0
  assert meta(whole)["validation"]["loss"] == saved["validation_loss"]


def test_a_part_is_spread_over_the_split():
  dataset = Copy(data_dir="", sequence_length=8, validation_examples=80)
  assert num_batches(dataset, "validation", 8) == 10
  assert validation_subset(dataset, 8, 4) == [0, 2, 5, 7]
  for most in (0, None, 10, 99):
    assert validation_subset(dataset, 8, most) == list(range(10))
  dataset.validation_examples = 10 * VALIDATION_TOKENS // 8
  assert len(validation_subset(dataset, 8, None)) == VALIDATION_TOKENS // 64


def test_an_evaluation_has_a_bar_until_its_last_batch(monkeypatch):
  monkeypatch.setenv("FORCE_COLOR", "1")
  show = Show(step=3, steps=9)
  try:
    follow = show.batches("validation")
    for done in (1, 2):
      follow(done, 3)
      task = show._bar.tasks[1]
      assert (task.completed, task.total) == (done, 3)
      assert task.fields["figures"] == "validation"
    follow(3, 3)
    assert len(show._bar.tasks) == 1
  finally:
    show.close()


def test_fewer_steps_than_taken_end_at_once(undisturbed, tmp_path, capsys):
  shutil.copytree(undisturbed, tmp_path / "run")
  before = records(tmp_path / "run")
  assert train.run(a_config(steps=3), str(tmp_path / "run")) == 0
  assert "Already trained for 6 steps; --steps=M" in capsys.readouterr().out
  assert records(tmp_path / "run") == before
  stored = json.loads((tmp_path / "run" / "config.json").read_text())
  assert stored["config"]["steps"] == 6


def test_fewer_steps_than_an_interrupted_run_took_still_validate_it(
  signal_at, tmp_path
):
  signal_at(1, signal.SIGTERM)
  assert train.run(a_config(), str(tmp_path / "run")) == 128 + signal.SIGTERM
  assert train.run(a_config(steps=1), str(tmp_path / "run")) == 0
  summary = json.loads((tmp_path / "run" / "summary.json").read_text())
  assert summary["steps"] == 2
  assert summary["validation"]["loss"] == records(tmp_path / "run")[-1]["loss"]
