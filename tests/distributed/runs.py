"""Runs in several processes, each started from the command line."""

import json
import time
from pathlib import Path

import numpy as np

from tests import commands
from tests.distributed.test_group import ended, free_port

STEPS = 200
WORDS = [
  *commands.TINY,
  "--skip_checks",
  f"--steps={STEPS}",
  "--config.log.every=60",
  "--config.evaluation.every=150",
  "--config.checkpoint.every=40",
  "--config.model.dropout=0.1",
]
TIMEOUT = 240  # Seconds that a whole run may take on a busy machine.
END_TIMEOUT = 60  # Seconds within which all processes end after a failure.


def start_all(words, count=2, devices=1, others=()):
  """Start all processes of a run.

  Args:
    words: command line of all processes.
    count: number of processes.
    devices: devices per process.
    others: additional words for the last process only.
  """
  port = free_port()
  found = []
  for i in range(count):
    place = [
      f"--coordinator=127.0.0.1:{port}",
      f"--num_processes={count}",
      f"--process_id={i}",
    ]
    additional = others if i == count - 1 else ()
    found.append(commands.start(*words, *additional, *place, devices=devices))
  return found


def run_alone(words, devices):
  """Run to the end in one process; return status, standard output and error."""
  (found,) = ended([commands.start(*words, devices=devices)], TIMEOUT)
  return found


def wait_for_checkpoints(workdir, count, processes):
  """Wait until the run has saved `count` checkpoints."""
  deadline = time.monotonic() + 120
  while len(saved_steps(workdir)) < count:
    assert all(process.poll() is None for process in processes), ended(processes)
    assert time.monotonic() < deadline
    time.sleep(0.01)


def saved_steps(workdir):
  """Return the steps of all checkpoints, in ascending order."""
  folder = Path(workdir) / "checkpoints"
  return sorted(int(path.name.partition("-")[0]) for path in folder.glob("*.npz"))


def assert_same_result(workdir, expected):
  """Assert bitwise equality of parameters, optimizer state, key and metrics."""
  arrays, others = map(commands.last_checkpoint, (expected, workdir))
  assert arrays.keys() == others.keys()
  for name, array in arrays.items():
    np.testing.assert_array_equal(others[name], array, err_msg=name)
  assert commands.records(workdir) == commands.records(expected)
  summaries = [
    json.loads((Path(folder) / "summary.json").read_text())
    for folder in (workdir, expected)
  ]
  for key in ("train", "validation", "parameters", "steps"):
    assert summaries[0][key] == summaries[1][key]
