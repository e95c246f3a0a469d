"""Runs the entrypoint as a user does: in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
TINY = [
  "--dataset=copy(sequence_length=8, validation_examples=8)",
  "--batch_size=8",
  "--config.model.d_model=8",
  "--config.model.num_heads=2",
  "--config.model.num_layers=1",
  "--config.sample.length=4",
  # The same program, whatever number of steps: it is compiled once for all tests.
  "--config.train.schedule=constant",
  "--config.log.tensorboard=false",
]


def start(*words, devices=1):
  """Starts the entrypoint, on CPU devices; it shares the session's compiled programs."""
  flags = f"--xla_force_host_platform_device_count={devices}"
  environment = {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
  return subprocess.Popen(
    [sys.executable, "-m", "attention_lab.main", *words],
    env=os.environ | environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def run(*words):
  """Runs the entrypoint to its end: (exit status, standard output, standard error)."""
  process = start(*words)
  out, err = process.communicate(timeout=300)
  return process.returncode, out, err


def records(workdir):
  """The records of metrics.jsonl, without what differs from machine to machine."""
  lines = (Path(workdir) / "metrics.jsonl").read_text().splitlines()
  found = [json.loads(line) for line in lines]
  for record in found:
    record.pop("tokens_per_second", None)
    record.pop("data_wait", None)
  return found


def last_checkpoint(workdir):
  """The arrays of the newest checkpoint, without its meta data."""
  path = max((Path(workdir) / "checkpoints").glob("*.npz"))
  with np.load(path) as arrays:
    return {name: arrays[name] for name in arrays if name != "meta.json"}


def assert_refused(result, answer):
  """Asserts that a command was answered by one line, and nothing else was printed."""
  status, out, err = result
  assert (status, out) == (2, ""), (out, err)
  assert err.startswith("error: ")
  assert err.endswith("\n")
  assert err.count("\n") == 1
  assert answer in err
