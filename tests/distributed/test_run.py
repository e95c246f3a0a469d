"""Two processes train bitwise as one does, even if one was killed meanwhile."""

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
  """Return the folder and the results of two processes of which one was killed."""
  workdir = tmp_path_factory.mktemp("runs") / "together"
  processes = runs.start_all([*runs.WORDS, f"--workdir={workdir}"])
  runs.wait_for_checkpoints(workdir, 2, processes)
  processes[1].kill()
  start = time.monotonic()
  found = ended(processes)
  assert time.monotonic() - start < runs.END_TIMEOUT
  return workdir, found


@pytest.fixture(scope="module")
def resumed(killed):
  """Resume the killed run to its end; return its folder and the results.

  Its newest checkpoint cannot be read.
  """
  workdir, _ = killed
  newest = max((workdir / "checkpoints").glob("*.npz"))
  newest.unlink()
  newest.mkdir()
  return workdir, ended(runs.start_all([f"--workdir={workdir}"]), runs.TIMEOUT)


def test_kill_of_one_process_ends_the_other_with_a_message_that_names_it(killed):
  _, ((first, _, err), (second, _, _)) = killed
  assert (first, second) == (1, -signal.SIGKILL)
  (line,) = errors(err)
  assert line.startswith("error: process 1 ended without a message")
  assert "Start all of them again with the same command" in line


def test_only_the_first_process_prints(resumed):
  _, ((first, out, err), (second, other, _)) = resumed
  assert (first, second) == (0, 0), err
  assert "Resuming at step" in out
  assert "is damaged; trying the one before it" in err
  assert "validation" in out
  assert "step" not in other


def test_result_equals_that_of_one_process_bit_for_bit(resumed, tmp_path, monkeypatch):
  workdir, _ = resumed
  config = configs.from_stored(run_folder.stored_config(workdir))
  monkeypatch.setattr(train, "all_devices", lambda: jax.local_devices()[:2])
  assert train.run(config, str(tmp_path / "alone")) == 0
  runs.assert_same_result(workdir, tmp_path / "alone")
