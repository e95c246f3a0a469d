"""Runs under Open MPI's mpirun on this machine.

pytest -n 0 -m processes_full tests/distributed/test_open_mpi.py
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests import commands
from tests.cpu import xla_flags
from tests.distributed import runs

pytestmark = [
  pytest.mark.processes_full,
  pytest.mark.skipif(not shutil.which("mpirun"), reason="needs Open MPI"),
]
MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]


@contextlib.contextmanager
def launched(words):
  """Start two processes by mpirun; end them at the end."""
  command = [*MPIRUN, "-n", "2", sys.executable, "-m", "attention_lab.main", *words]
  environment = {"XLA_FLAGS": xla_flags(1), "PYTHONPATH": str(commands.ROOT)}
  with subprocess.Popen(
    command,
    env=os.environ | environment | {"COLUMNS": "200"},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    try:
      yield process
    finally:
      process.terminate()


def test_ended_run_saves_and_the_same_command_resumes_it(tmp_path):
  words = [*runs.WORDS, f"--workdir={tmp_path / 'run'}"]
  words += ["--config.processes.join=60"]
  with launched(words) as first:
    runs.wait_for_checkpoints(tmp_path / "run", 1, [first])
    first.send_signal(signal.SIGTERM)  # mpirun passes it on.
    out, err = first.communicate(timeout=runs.TIMEOUT)
  assert first.returncode != 0
  assert out.count("Interrupted at step") == 1, out + err
  with launched(words) as second:
    out, err = second.communicate(timeout=runs.TIMEOUT)
  assert second.returncode == 0, out + err
  assert "Resuming at step" in out
  assert "2 cpu devices" in out
  status, _, err = runs.run_alone([*runs.WORDS, f"--workdir={tmp_path / 'alone'}"], 2)
  assert status == 0, err
  runs.assert_same_result(tmp_path / "run", tmp_path / "alone")
