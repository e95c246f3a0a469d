"""Lives of one tiny run: forks of a parent that has imported everything, started nothing.

A start costs a second or two so, not ten, and faults can be planted in it.
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
PATIENCE = 120  # Seconds after which a life hangs.
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


class Life(NamedTuple):
  """How a process ended."""

  status: int  # Of its exit; -signal where one ended it.
  out: str
  err: str
  seconds: float
  memory: int  # Of the most it had resident, in KiB.
  handles: int  # Open files when it was last seen.


def warm():
  """Import what a run does."""
  import tests.imported

  assert tests.imported.discovery
  threads = len(os.listdir("/proc/self/task"))
  assert threads == 1, f"{threads} threads: what is forked from here may hang"


@contextlib.contextmanager
def place():
  """An empty folder for lives that share what they compile; all is ready to fork them."""
  os.environ["XLA_FLAGS"] = xla_flags(1)
  with tempfile.TemporaryDirectory() as folder:
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{folder}/cache")
    warm()
    yield Path(folder)


def start(words, log, prepare):
  """Fork a life; `prepare` is called in it first. Returns its pid."""
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
    prepare()
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


def begin(workdir, steps, prepare=lambda: None, words=()):
  """Start a life of a run; its pid. The arguments are those of `live`."""
  words = [f"--workdir={workdir}", f"--steps={steps}", *WORDS, *words]
  return start(words, Path(workdir).with_suffix(".log"), prepare)


def live(workdir, steps, prepare=lambda: None, signals=(), words=()):
  """Run once.

  Args:
    workdir: of the run.
    steps: at which it ends.
    prepare: plants a fault.
    signals: (seconds since the last one, signal), in order.
    words: of the command line, besides.
  """
  begun = time.monotonic()
  pid = begin(workdir, steps, prepare, words)
  log = Path(workdir).with_suffix(".log")
  ended, handles = None, 0
  for delay, number in signals:
    ended, handles = _wait(pid, delay)
    if ended:
      break
    os.kill(pid, number)
  if not ended:
    ended, _ = _wait(pid, PATIENCE)
  if not ended:
    kill(pid)
    raise AssertionError(f"A life hung for {PATIENCE} s; see {log}.err")
  _, status, usage = ended
  texts = [Path(f"{log}{suffix}").read_text() for suffix in (".out", ".err")]
  took = time.monotonic() - begun
  return Life(os.waitstatus_to_exitcode(status), *texts, took, usage.ru_maxrss, handles)


def kill(pid):
  """End a process that no other thread waits for."""
  os.kill(pid, signal.SIGKILL)
  os.wait4(pid, 0)


def _wait(pid, seconds):
  """Return the result of wait4 if it ends in time, and the files that it had open."""
  until, handles = time.monotonic() + seconds, 0
  while True:
    if (ended := os.wait4(pid, os.WNOHANG))[0]:
      return ended, handles
    left = until - time.monotonic()
    if left <= 0:
      return None, len(os.listdir(f"/proc/{pid}/fd"))
    time.sleep(min(left, 0.01))


def checkpoints(workdir):
  """The run's checkpoints, newest first: {path: whether it is whole}."""
  found = sorted((Path(workdir) / "checkpoints").glob("*.npz"), reverse=True)
  digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()  # noqa: E731
  return {path: path.stem.endswith("-" + digest(path)[:16]) for path in found}


def saved_step(workdir):
  """The step of the newest whole checkpoint; 0 if there is none."""
  whole = [path for path, fine in checkpoints(workdir).items() if fine]
  return int(whole[0].stem[:9]) if whole else 0


def reached_step(workdir):
  """The last step that metrics.jsonl tells of whole; 0 if there is none."""
  from attention_lab.run import metrics_file

  found = metrics_file.records(Path(workdir) / "metrics.jsonl")
  return found[-1]["step"] if found else 0


def size(workdir):
  """Bytes of all files."""
  files = [path for path in Path(workdir).rglob("*") if path.is_file()]
  return sum(path.stat().st_size for path in files)


def outcome(workdir):
  """Return what has to be equal: metrics without times, and the bytes of every array."""
  arrays = {name: x.tobytes() for name, x in last_checkpoint(workdir).items()}
  return records(workdir), arrays
