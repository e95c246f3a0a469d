"""Processes of one tiny run, forked from a parent that has imported all modules.

A fork starts in one or two seconds instead of ten, and faults can be injected into it.
"""

import contextlib
import hashlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.commands import TINY, heed_ctrl_c, last_checkpoint, records
from tests.cpu import xla_flags

EVERY = 5  # Steps between two checkpoints.
KEEP = 2
TIMEOUT = 120  # Seconds after which a process counts as hung.
WORDS = [
  *TINY,
  "--config.train.schedule=cosine",
  "--skip_checks",
  "--config.log.every=1",
  "--config.model.dropout=0.1",
  "--config.evaluation.every=7",
  f"--config.checkpoint.every={EVERY}",
  f"--config.checkpoint.keep={KEEP}",
]


class Ended(NamedTuple):
  """Result of a process."""

  status: int  # Exit status; -signal if a signal ended the process.
  out: str
  err: str
  seconds: float
  memory: int  # Peak resident memory, in KiB.
  handles: int  # Open files at the last check.


def preload():
  """Import the modules of a run; assert that no other thread has started."""
  import tests.imported

  assert tests.imported.discovery
  threads = len(os.listdir("/proc/self/task"))
  assert threads == 1, f"{threads} threads: a fork of this process may hang"


@contextlib.contextmanager
def environment():
  """Prepare forks; yield an empty folder for runs, which share a compilation cache."""
  os.environ["XLA_FLAGS"] = xla_flags(1)
  with tempfile.TemporaryDirectory() as folder:
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{folder}/cache")
    preload()
    yield Path(folder)


def fork(words, log, inject):
  """Fork a process that calls `inject` before `main`; return its pid."""
  pid = os.fork()
  if pid:
    return pid
  status = 99
  try:
    for number, suffix in ((1, ".out"), (2, ".err")):
      flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
      os.dup2(os.open(f"{log}{suffix}", flags, 0o644), number)
    from attention_lab import main

    heed_ctrl_c()
    sys.argv = ["main.py", *words]
    inject()
    main.command()
  except SystemExit as end:
    status = end.code or 0
  except BaseException:
    import traceback

    traceback.print_exc()
  finally:
    try:
      sys.stdout.flush()
      sys.stderr.flush()
    finally:
      os._exit(status)


def start(workdir, steps, inject=lambda: None, words=()):
  """Start a process of a run, and return its pid; arguments as in `run`."""
  words = [f"--workdir={workdir}", f"--steps={steps}", *WORDS, *words]
  return fork(words, Path(workdir).with_suffix(".log"), inject)


def run(workdir, steps, inject=lambda: None, signals=(), words=()):
  """Run a process of a run until it ends, and return its result.

  Args:
    workdir: folder of the run.
    steps: number of steps of the run.
    inject: injects a fault; called in the process.
    signals: pairs (seconds since the signal before, signal), in order.
    words: additional words of the command line.
  """
  start_time = time.monotonic()
  pid = start(workdir, steps, inject, words)
  log = Path(workdir).with_suffix(".log")
  ended, handles = None, 0
  for delay, number in signals:
    ended, handles = _wait(pid, delay)
    if ended:
      break
    os.kill(pid, number)
  if not ended:
    ended, _ = _wait(pid, TIMEOUT)
  if not ended:
    kill(pid)
    raise AssertionError(f"A process hung for {TIMEOUT} s; see {log}.err")
  _, status, usage = ended
  texts = [Path(f"{log}{suffix}").read_text() for suffix in (".out", ".err")]
  seconds = time.monotonic() - start_time
  return Ended(
    os.waitstatus_to_exitcode(status), *texts, seconds, usage.ru_maxrss, handles
  )


def kill(pid):
  """Kill a child process, and reap it."""
  os.kill(pid, signal.SIGKILL)
  os.wait4(pid, 0)


def _wait(pid, seconds):
  """Return the result of wait4, None after the time limit, and the open files then."""
  until, handles = time.monotonic() + seconds, 0
  while True:
    if (ended := os.wait4(pid, os.WNOHANG))[0]:
      return ended, handles
    left = until - time.monotonic()
    if left <= 0:
      return None, len(os.listdir(f"/proc/{pid}/fd"))
    time.sleep(min(left, 0.01))


def checkpoints(workdir):
  """Return the checkpoints of a run, newest first: {path: whether its hash is right}."""
  found = sorted((Path(workdir) / "checkpoints").glob("*.npz"), reverse=True)
  digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()  # noqa: E731
  return {path: path.stem.endswith("-" + digest(path)[:16]) for path in found}


def saved_step(workdir):
  """Return the step of the newest undamaged checkpoint; 0 if there is none."""
  intact = [path for path, valid in checkpoints(workdir).items() if valid]
  return int(intact[0].stem[:9]) if intact else 0


def reached_step(workdir):
  """Return the step of the last complete record of metrics.jsonl; 0 if there is none."""
  from attention_lab.run import metrics_file

  found = metrics_file.records(Path(workdir) / "metrics.jsonl")
  return found[-1]["step"] if found else 0


def size(workdir):
  """Return the bytes of all files in a folder."""
  files = [path for path in Path(workdir).rglob("*") if path.is_file()]
  return sum(path.stat().st_size for path in files)


def outcome(workdir):
  """Return metrics without times, and the bytes of every array of the checkpoint."""
  arrays = {name: x.tobytes() for name, x in last_checkpoint(workdir).items()}
  return records(workdir), arrays
