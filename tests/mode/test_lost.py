"""Runs whose folder is removed or whose terminal is closed, and names of new folders."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from attention_lab.errors import UserError
from attention_lab.mode import train
from attention_lab.training import loop
from tests import commands
from tests.parts import tiny_config

QUIET = {"log__tensorboard": False, "model__num_layers": 1}


def test_a_folder_that_is_removed_ends_the_run_at_the_next_entry_of_the_log(
  tmp_path, monkeypatch
):
  folder, take, steps = tmp_path / "run", loop.advance, []

  def advance(stepper, *words):
    yield from take(stepper, *words)
    steps.append(stepper.step)
    if stepper.step == 1:
      shutil.rmtree(folder)

  monkeypatch.setattr(loop, "advance", advance)
  config = tiny_config(log__every=1, checkpoint__every=4, **QUIET)
  with pytest.raises(UserError, match="folder was removed or renamed"):
    train.run(config, str(folder))
  assert steps == [1]


def test_a_folder_that_is_removed_at_the_end_is_reported(tmp_path, monkeypatch, capsys):
  folder = tmp_path / "run"
  monkeypatch.setattr(loop.due, "sample", lambda *_: shutil.rmtree(folder))
  with pytest.raises(UserError, match="folder was removed or renamed"):
    train.run(tiny_config(**QUIET), str(folder))
  assert "Written to" not in capsys.readouterr().out


def test_a_checkpoint_says_that_its_folder_is_gone(tmp_path, monkeypatch):
  folder = tmp_path / "run"
  monkeypatch.setattr(
    loop.validation, "validate", lambda *_: shutil.rmtree(folder / "checkpoints")
  )
  with pytest.raises(UserError, match="The folder was removed or renamed while it was"):
    train.run(tiny_config(**QUIET), str(folder))


def test_a_tilde_stands_for_the_users_home(tmp_path, monkeypatch, command):
  monkeypatch.setenv("HOME", str(tmp_path))
  monkeypatch.chdir(tmp_path)
  seen = []
  monkeypatch.setattr(
    train, "run", lambda config, workdir: seen.extend([config, workdir]) or 0
  )
  Path("mine.py").write_text("def get_config(): return {'steps': 7}")
  words = ["--workdir=~/x", "--data_dir=~/d", "--config=~/mine.py"]
  assert command(*words, "--config.compile_cache=~/c")[0] == 0
  config, workdir = seen
  assert (workdir, config.data_dir, config.steps) == (
    str(tmp_path / "x"),
    str(tmp_path / "d"),
    7,
  )
  assert config.compile_cache == str(tmp_path / "c")
  commands.assert_refused(command("--from=~/y"), f"--from={tmp_path}/y: there is no")
  commands.assert_refused(command("--from="), "--from='' is not a path")


CLOSED = """
import os, pty, signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # The suite may run under nohup.
pid, terminal = pty.fork()
if not pid:
  os.execv(sys.executable, [sys.executable, "-m", "attention_lab.main", *sys.argv[2:]])
while not (os.path.exists(sys.argv[1]) and os.path.getsize(sys.argv[1])):
  os.read(terminal, 1000)
os.close(terminal)  # The kernel sends SIGHUP.
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_closed_terminal_saves_and_the_run_resumes(tmp_path):
  metrics = tmp_path / "run" / "metrics.jsonl"
  words = [*commands.TINY, f"--workdir={tmp_path / 'run'}", "--config.log.every=1"]
  ended = subprocess.run(
    [sys.executable, "-c", CLOSED, metrics, *words, "--skip_checks", "--steps=1000000"],
    check=False,
    cwd=commands.ROOT,
    timeout=120,
  )
  assert ended.returncode == 128 + signal.SIGHUP
  saved = max((tmp_path / "run" / "checkpoints").glob("*.npz"))
  assert int(saved.name[:9]) == commands.records(tmp_path / "run")[-1]["step"] > 0
