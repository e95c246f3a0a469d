"""The experiment scripts train the documented runs and print their tables."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest
from absl import flags

from attention_lab import config as configs
from attention_lab import main
from attention_lab.experiment import assemble
from attention_lab.settings import flags as command_line
from tests.commands import ROOT
from tests.parts import count

PATH = ROOT / "experiments" / "selective_attention.py"
PARAMETERS = {
  "standard": 189_633,
  "standard, d_ff 320": 222_401,
  "selective": 222_401,
  "standard, no positions": 189_633,
  "selective, no positions": 222_401,
  "equinox, no positions": 206_017,
}


def load(name):
  """Import a script; modules in its folder are importable, as if Python ran it."""
  sys.path.insert(0, str(PATH.parent))
  try:
    spec = importlib.util.spec_from_file_location(name, PATH.with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
  finally:
    sys.path.remove(str(PATH.parent))
  return module


@pytest.fixture(scope="module")
def script():
  return load("selective_attention")


class Training:
  """Replacement of subprocess.Popen that writes the summary of a run, or fails."""

  def __init__(self):
    self.commands = []
    self.failing = {}  # Exit statuses by the number of the call.
    self.interrupts = 0  # Number of times that waiting raises KeyboardInterrupt.

  def __call__(self, command):
    self.commands.append(command)
    return self

  def wait(self):
    if self.interrupts:
      self.interrupts -= 1
      raise KeyboardInterrupt
    number = len(self.commands) - 1
    if number in self.failing:
      return self.failing[number]
    workdir = Path(self.flag(number, "workdir"))
    summary = {
      "steps": int(self.flag(number, "steps")),
      "parameters": 1_000 + number,
      "seconds": 60.0 * (number + 1),
      "validation": {"loss": 2 + number / 100, "accuracy": number / 100},
      "lengths": {str(length): {"accuracy": 0.125} for length in (16, 32, 48, 64, 128)},
    }
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "summary.json").write_text(json.dumps(summary))
    return 0

  def flag(self, number, name):
    """Return the value of a flag in a call."""
    prefix = f"--{name}="
    (value,) = (
      word.removeprefix(prefix)
      for word in self.commands[number]
      if word.startswith(prefix)
    )
    return value


@pytest.fixture
def training(monkeypatch):
  fake = Training()
  monkeypatch.setattr(subprocess, "Popen", fake)
  return fake


@pytest.fixture
def start(script, training, tmp_path, monkeypatch):
  """Return a function that runs the script; `training` records what it starts."""

  def run(*words, steps=10):
    argv = ["script", f"--steps={steps}", f"--workdir={tmp_path / 'table'}", *words]
    monkeypatch.setattr(sys, "argv", argv)
    return script.main()

  return run


def test_table_has_mean_and_seeds_of_every_row(script, start, tmp_path, capsys):
  assert start("--seeds=3") == 0
  table = (tmp_path / "table" / "table.md").read_text()
  _, _, *lines = table.splitlines()
  rows = len(script.ROWS)
  expected = []
  for row, name in enumerate(script.ROWS):
    calls = [row, row + rows, row + 2 * rows]  # Seed by seed.
    losses = [2 + call / 100 for call in calls]
    expected.append(
      f"| {name} | {1_000 + row:,} | {mean(losses):.3f} "
      f"| {' '.join(f'{loss:.3f}' for loss in losses)} "
      f"| {mean(calls) / 100:.3f} | {mean(calls) + 1:.1f} |"
    )
  assert lines == expected
  assert table in capsys.readouterr().out


def test_every_cell_is_a_separate_run(script, start, training):
  assert start("--seeds=2", steps=7) == 0
  calls = range(len(training.commands))
  assert len(calls) == 2 * len(script.ROWS)
  assert len({training.flag(call, "workdir") for call in calls}) == len(calls)
  assert {training.flag(call, "steps") for call in calls} == {"7"}
  seeds = [training.flag(call, "seed") for call in calls]
  assert seeds == ["0"] * len(script.ROWS) + ["1"] * len(script.ROWS)


def test_finished_cells_are_not_run_again(start, training, tmp_path, capsys):
  assert start() == 0
  first = capsys.readouterr().out
  commands = list(training.commands)
  assert start() == 0
  assert training.commands == commands
  assert capsys.readouterr().out == first
  (tmp_path / "table" / "selective-seed0" / "summary.json").unlink()
  assert start() == 0
  (rerun,) = training.commands[len(commands) :]
  assert rerun in commands
  assert training.flag(len(commands), "workdir").endswith("/selective-seed0")


def test_more_steps_resume_every_cell(script, start, training):
  assert start() == start(steps=11) == 0
  calls = range(len(training.commands))
  workdirs = [training.flag(call, "workdir") for call in calls]
  rows = len(script.ROWS)
  assert workdirs[:rows] == workdirs[rows:]
  assert {training.flag(call, "steps") for call in calls[rows:]} == {"11"}


def test_failing_cell_ends_script_with_its_status(script, start, training, tmp_path):
  training.failing = {2: 130}
  assert start("--seeds=2") == 130
  assert len(training.commands) == 3  # Nothing runs after it.
  assert not (tmp_path / "table" / "table.md").exists()
  assert start("--seeds=2") == 0  # Resumes with the failed cell.
  assert training.commands[3] == training.commands[2]
  assert len(training.commands) == 1 + 2 * len(script.ROWS)


def test_unknown_flags_are_passed_to_every_run(start, training):
  words = ["--data_dir=somewhere", "--config.train.micro_batches=4"]
  assert start(*words) == 0
  assert training.commands
  assert all(set(words) <= set(command) for command in training.commands)


@pytest.fixture
def settings(script, start, training, shakespeare, own_flags):
  """Return a function that reads a row's configuration from its command."""
  assert start(f"--data_dir={shakespeare}", steps=9) == 0

  def read(row):
    _python, _m, *argv = training.commands[list(script.ROWS).index(row)]
    return main.read_config(command_line.parse(argv))

  return read


@pytest.mark.parametrize("row", PARAMETERS)
def test_every_row_is_valid_and_has_its_size(script, settings, row):
  assert set(PARAMETERS) == set(script.ROWS)
  assert count(settings(row)) == PARAMETERS[row]


def test_rows_differ_only_in_compared_settings(settings):
  base = dict(configs.flatten(settings("standard")))
  changed = {}
  for row in PARAMETERS:
    config = dict(configs.flatten(settings(row)))
    changed[row] = {key for key, value in config.items() if value != base[key]}
  assert changed == {
    "standard": set(),
    "standard, d_ff 320": {"model.d_ff"},
    "selective": {"attention"},
    "standard, no positions": {"position"},
    "selective, no positions": {"attention", "position"},
    "equinox, no positions": {"attention", "position"},
  }
  assert base["steps"] == 9


@pytest.mark.parametrize(
  ("attention", "parameters"), [("selective_naive", 222_401), ("haiku", 206_017)]
)
def test_equivalent_attentions_have_equal_size(shakespeare, attention, parameters):
  config = configs.load_file(str(ROOT / "experiments" / "shakespeare_gpt.py"))
  config.update(attention=attention, position="none", data_dir=shakespeare)
  assert count(config) == parameters


def test_ctrl_c_waits_until_the_run_has_saved(start, training):
  training.interrupts, training.failing = 2, {0: 130}
  assert start() == 130
  assert len(training.commands) == 1


@pytest.mark.parametrize(
  ("name", "rows", "cells"), [("recall", 7, 14), ("length_generalisation", 7, 7)]
)
def test_other_tables_start_valid_runs(
  name, rows, cells, training, tmp_path, monkeypatch, own_flags, capsys
):
  argv = ["script", "--steps=3", f"--workdir={tmp_path / 'table'}"]
  monkeypatch.setattr(sys, "argv", argv)
  assert load(name).main() == 0
  assert len(capsys.readouterr().out.splitlines()) == 2 + rows + 1
  assert len(training.commands) == cells
  assert len({training.flag(call, "workdir") for call in range(cells)}) == cells
  for _python, _m, *words in training.commands:
    assert assemble(main.read_config(command_line.parse(words))).decodes
    flags.FLAGS.unparse_flags()
