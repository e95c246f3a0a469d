"""Run the entrypoint in a separate process."""

import atexit
import contextlib
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
  # A constant schedule makes the program independent of the number of steps.
  "--config.train.schedule=constant",
  "--config.log.tensorboard=false",
]


class Started:
  """A process of the entrypoint, with the interface of `subprocess.Popen`.

  It is forked from a process that has imported the modules of a run and used no device,
  which saves seconds of imports. tests/system/test_compile_cache.py starts a new one.

  Args:
    words: words of the command line.
    environment: environment variables.
    enter: called with the words.
  """

  def __init__(self, words, environment, enter):
    folder = tempfile.mkdtemp()
    weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
    self._texts = [Path(folder) / name for name in ("out", "err")]
    arguments = (enter, words, environment, os.getcwd(), self._texts)
    self._process = FORKS.Process(target=_enter, args=arguments)
    self._process.start()
    self.pid = self._process.pid

  def poll(self):
    """Return the exit status; None while the process runs."""
    return self._process.exitcode

  returncode = property(poll)

  def wait(self, timeout=None):
    """Wait until the process has ended."""
    self._process.join(timeout)
    if self.poll() is None:
      raise subprocess.TimeoutExpired(sys.argv, timeout)

  def communicate(self, timeout=None):
    """Wait for the process; return its standard output and standard error."""
    self.wait(timeout)
    return [path.read_text() for path in self._texts]

  def send_signal(self, number):
    """Send a signal to the process if it is running."""
    if self.poll() is None:
      with contextlib.suppress(ProcessLookupError):  # It has just ended.
        os.kill(self.pid, number)

  def kill(self):
    """Kill the process if it is running."""
    self.send_signal(signal.SIGKILL)


def _enter(enter, words, environment, folder, texts):
  """Call `enter` in this process."""
  os.environ.clear()
  os.environ.update(environment)
  heed_ctrl_c()
  os.chdir(folder)
  for number, path in enumerate(texts, 1):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
  try:
    enter(*words)
  finally:
    atexit._run_exitfuncs()  # multiprocessing does not run them.


def entrypoint(*words):
  """Run the entrypoint."""
  from attention_lab import main

  sys.argv = [main.__file__, *map(str, words)]
  main.command()


def heed_ctrl_c():
  """Handle Ctrl-C as in a terminal; background processes of a shell ignore it."""
  signal.signal(signal.SIGINT, signal.default_int_handler)


def start(*words, devices=1, enter=entrypoint):
  """Start the entrypoint, on CPU devices; it shares the session's compiled programs."""
  flags = {"XLA_FLAGS": xla_flags(devices)}
  environment = os.environ | flags | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
  return Started(words, environment, enter)


def run(*words):
  """Run the entrypoint to its end: (exit status, standard output, standard error)."""
  process = start(*words)
  out, err = process.communicate(timeout=300)
  return process.returncode, out, err


def records(workdir):
  """Return the records of metrics.jsonl without those fields that depend on the machine."""
  lines = (Path(workdir) / "metrics.jsonl").read_text().splitlines()
  found = [json.loads(line) for line in lines]
  for record in found:
    record.pop("tokens_per_second", None)
    record.pop("data_wait", None)
  return found


def last_checkpoint(workdir):
  """Return the arrays of the newest checkpoint without its metadata."""
  path = max((Path(workdir) / "checkpoints").glob("*.npz"))
  with np.load(path) as arrays:
    return {name: arrays[name] for name in arrays if name != "meta.json"}


def assert_refused(result, answer):
  """Assert that a command exited with 2 and printed one line, the error."""
  status, out, err = result
  assert (status, out) == (2, ""), (out, err)
  assert err.startswith("error: ")
  assert err.endswith("\n")
  assert err.count("\n") == 1
  assert answer in err
