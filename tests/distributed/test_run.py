"""Proves that two processes train as one does, bit for bit, though one was killed."""

import signal
import time

import jax
import pytest

from attention_lab import config as configs
from attention_lab.mode import train
from attention_lab.run import folder as run_folder
from tests.distributed import runs
from tests.distributed.test_group import ended, errors


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
  """Two processes of which one was killed: the folder, and what became of them."""
  workdir = tmp_path_factory.mktemp("runs") / "together"
  processes = runs.start_all([*runs.WORDS, f"--workdir={workdir}"])
  runs.wait_for_checkpoints(workdir, 2, processes)
  processes[1].kill()
  start = time.monotonic()
  found = ended(processes)
  assert time.monotonic() - start < runs.BOUND
  return workdir, found


@pytest.fixture(scope="module")
def finished(killed):
  """The same run, gone on with to its end."""
  workdir, _ = killed
  return workdir, ended(runs.start_all([f"--workdir={workdir}"]), runs.PATIENCE)


def test_where_one_is_killed_the_others_end_and_name_it(killed):
  _, ((first, _, err), (second, _, _)) = killed
  assert (first, second) == (1, -signal.SIGKILL)
  (line,) = errors(err)
  assert line.startswith("error: process 1 ended without a message")
  assert "Start all of them again with the same command" in line


def test_one_writes_and_tells(finished):
  _, ((first, out, err), (second, other, _)) = finished
  assert (first, second) == (0, 0), err
  assert "Resuming at step" in out
  assert "validation" in out
  assert "step" not in other


def test_the_end_is_that_of_one_process_bit_for_bit(finished, tmp_path, monkeypatch):
  workdir, _ = finished
  config = configs.from_stored(run_folder.stored_config(workdir))
  monkeypatch.setattr(train, "all_devices", lambda: jax.local_devices()[:2])
  assert train.run(config, str(tmp_path / "alone")) == 0
  runs.assert_same_end(workdir, tmp_path / "alone")
