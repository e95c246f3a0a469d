"""--dry_run of training: sizes that are right, times, and no trace of it."""

import os
import re

import jax
import pytest

from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.run.disk_space import checkpoint_bytes
from attention_lab.system import memory
from attention_lab.training import forecast
from attention_lab.training.preflight import training_flops
from tests.commands import TINY
from tests.parts import count, tiny_config

DATA = "--dataset=copy(sequence_length=8, validation_examples=20, train_examples=100)"


def test_a_run_is_described_and_not_made(tmp_path, command, monkeypatch):
  monkeypatch.setattr(forecast, "STEPS_SECONDS", 0)
  monkeypatch.chdir(tmp_path)
  words = "--dry_run", "--skip_checks", "--steps=50", "--config.checkpoint.keep=1"
  status, out, err = command(*TINY[1:], DATA, *words)
  assert (status, err) == (0, "")
  rows = [re.split(r"  +", line, maxsplit=1) for line in out.splitlines()]
  found = {row[0]: row[1] for row in rows if len(row) > 1}
  config = tiny_config(model__num_layers=1, dataset=DATA.partition("=")[2], steps=50)
  parameters, flops = count(config), training_flops(config)
  dataset = assemble(config).dataset
  expected = {
    "parameters": f"{parameters:,}",
    "steps": "50",
    "tokens per step": "64",
    "tokens in all": "3,200",
    "passes over the training data": f"{50 * 8 / dataset.size('train'):.3g}",
    "validation split": "20 examples, 3 batches",
    "batches of a validation while training": "3",
    "model FLOPs per step": f"{flops:.3g}",
    "model FLOPs in all": f"{50 * flops:.3g}",
    "memory of the parameters": forecast.size_text(4 * parameters),
  }
  assert {key: found[key] for key in expected} == expected
  for row in ("compilation", "a step", "tokens per second", "time of the run, about"):
    assert re.match(r"[\d.,:]+", found[row]), row
  assert out.endswith("Nothing was trained or written.\n")
  assert os.listdir(tmp_path) == []

  experiment = assemble(config)
  state = memory.bytes_of(jax.eval_shape(lambda: experiment.fresh(0)))
  size = checkpoint_bytes(jax.eval_shape(lambda: experiment.fresh(0)), dataset.files())
  assert size >= state
  assert found["a checkpoint"] == forecast.size_text(size)
  assert found["checkpoints to come, at most"] == forecast.size_text(3 * size)
  parts = ("memory of the parameters", "memory of the optimizer")
  assert sum(map(bytes_in, map(found.get, parts))) == pytest.approx(state, rel=0.01)
  step = bytes_in(found["memory of a step in all, by XLA's estimate"])
  assert step > state + bytes_in(found["temporary memory of a step"])


def bytes_in(text):
  """Return the bytes that a size stands for."""
  number, unit = text.split()
  return float(number) * {"bytes": 1, "kB": 1e3, "MB": 1e6}[unit]


def test_a_step_that_exceeds_the_memory_is_refused(monkeypatch):
  monkeypatch.setattr(memory, "host_memory", lambda: 10**9)

  class Device:
    memory_stats = lambda self: None  # noqa: E731

  memory.refuse_large_step(10**9, [Device()])
  with pytest.raises(
    UserError, match=r"takes 2\.0 GB .* there are 1\.0. Lower --batch"
  ):
    memory.refuse_large_step(10**9, [Device()] * 2)  # They share it.


@pytest.mark.parametrize(
  ("size", "text"),
  [(999, "999 bytes"), (1234, "1.23 kB"), (99e6, "99 MB"), (1.5e9, "1.5 GB")],
)
def test_sizes_have_units(size, text):
  assert forecast.size_text(size) == text


@pytest.mark.parametrize(
  ("every", "most", "expected"), [(10, 0, 4 + 2), (10, 1, 4 / 3 + 2), (100, 0, 2)]
)
def test_evaluations_of_a_run_are_counted(every, most, expected):
  dataset = assemble(tiny_config(dataset=DATA.partition("=")[2])).dataset
  found = forecast.evaluations(dataset, 8, 50, every, most)
  assert found == pytest.approx(expected)
