"""Runs the entrypoint as a user does: in a process of its own."""

import atexit
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path

import numpy as np

from tests.cpu import xla_flags

ROOT = Path(__file__).parents[1]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.imported"])
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


class Started:
  """A process of the entrypoint, as `subprocess.Popen` has them.

  It is forked from one that has imported what a run needs and touched no device: that
  saves the seconds which imports take. tests/test_compile_cache.py starts anew.

  Args:
    words: of its command line.
    environment: its environment.
  """

  def __init__(self, words, environment):
    folder = tempfile.mkdtemp()
    weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
    self._texts = [Path(folder) / name for name in ("out", "err")]
    arguments = (words, environment, os.getcwd(), self._texts)
    self._process = FORKS.Process(target=_enter, args=arguments)
    self._process.start()
    self.pid = self._process.pid

  def poll(self):
    """Return its exit status; None while it runs."""
    return self._process.exitcode

  returncode = property(poll)

  def wait(self, timeout=None):
    """Return when it has ended."""
    self._process.join(timeout)
    if self.poll() is None:
      raise subprocess.TimeoutExpired(sys.argv, timeout)

  def communicate(self, timeout=None):
    """Return its standard output and standard error, once it has ended."""
    self.wait(timeout)
    return [path.read_text() for path in self._texts]

  def send_signal(self, number):
    """Signal it, if it lives."""
    if self.poll() is None:
      os.kill(self.pid, number)

  def kill(self):
    """End it, if it lives."""
    self.send_signal(signal.SIGKILL)


def _enter(words, environment, folder, texts):
  """Run as the entrypoint."""
  os.environ.clear()
  os.environ.update(environment)
  heed_ctrl_c()
  os.chdir(folder)
  for number, path in enumerate(texts, 1):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
  from attention_lab import main

  sys.argv = [main.__file__, *map(str, words)]
  try:
    main.command()
  finally:
    atexit._run_exitfuncs()  # multiprocessing leaves them out.


def heed_ctrl_c():
  """Handle Ctrl-C as in a terminal; background processes of a shell ignore it."""
  signal.signal(signal.SIGINT, signal.default_int_handler)


def start(*words, devices=1):
  """Start the entrypoint, on CPU devices; it shares the session's compiled programs."""
  flags = {"XLA_FLAGS": xla_flags(devices)}
  environment = os.environ | flags | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
  return Started(words, environment)


def run(*words):
  """Run the entrypoint to its end: (exit status, standard output, standard error)."""
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
  """Assert that a command was answered by one line, and nothing else was printed."""
  status, out, err = result
  assert (status, out) == (2, ""), (out, err)
  assert err.startswith("error: ")
  assert err.endswith("\n")
  assert err.count("\n") == 1
  assert answer in err
