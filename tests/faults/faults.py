"""What can happen to a life: each fault changes a folder, or returns what to plant."""

import builtins
import os
import resource
import signal
import time
from pathlib import Path

import numpy as np

from tests.faults.lives import checkpoints

PHASES = ("opened", "half", "fsync", "rename", "renamed", "unlink")
SIGNALS = {
  "kill": (signal.SIGKILL,),
  "term": (signal.SIGTERM,),
  "term twice": (signal.SIGTERM, signal.SIGTERM),
  "int twice": (signal.SIGINT, signal.SIGINT),
}


def die():
  """As the kernel's out-of-memory killer would have it."""
  os.kill(os.getpid(), signal.SIGKILL)


def die_in(phase, count):
  """Plants the death of a process at the count-th time that it gets to a phase of a
  write: of a checkpoint by "opened" and "half", of any file by the others."""

  def plant():
    owner, name = {
      "opened": (np, "savez"),
      "half": (np, "savez"),
      "fsync": (os, "fsync"),
      "rename": (os, "replace"),
      "renamed": (os, "replace"),
      "unlink": (Path, "unlink"),
    }[phase]
    real, left = getattr(owner, name), [count]

    def deadly(*args, **kwargs):
      left[0] -= 1
      if left[0] == 0:
        if phase == "half":
          args[0].write(b"PK" + bytes(1000))
          args[0].flush()
        if phase == "renamed":
          real(*args, **kwargs)
        die()
      return real(*args, **kwargs)

    setattr(owner, name, deadly)

  return plant


def full_disk(limit):
  """Plants a disk on which no file can grow beyond so many bytes."""
  return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def jumping_clock(rng):
  """Plants a clock of the wall that jumps by years, back and forth."""
  real, leap = time.time, rng.uniform(-1e8, 1e8, 1000).tolist()
  calls = [0]

  def jumping():
    calls[0] += 1
    return real() + leap[calls[0] % len(leap)]

  return lambda: setattr(time, "time", jumping)


def damage_newest(workdir, rng):
  """Flips a bit of the newest checkpoint, cuts it or removes it, where another whole
  one is there to go on from. Returns what was done."""
  whole = [path for path, fine in checkpoints(workdir).items() if fine]
  if len(whole) < 2:
    return None
  how = ("flip", "cut", "missing")[rng.integers(3)]
  content = bytearray(whole[0].read_bytes())
  if how == "flip":
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
  elif how == "cut":
    del content[rng.integers(len(content)) :]
  if how == "missing":
    whole[0].unlink()
  else:
    whole[0].write_bytes(content)
  return how


def cut_metrics(workdir, rng):
  """Cuts metrics.jsonl in the middle of its last line, if it has one past the newest
  whole checkpoint, as a power cut does. Returns whether it was."""
  path = Path(workdir) / "metrics.jsonl"
  if not path.exists() or not (lines := path.read_bytes().splitlines(keepends=True)):
    return False
  with builtins.open(path, "ab") as file:
    file.write(lines[-1][: int(rng.integers(1, len(lines[-1])))])
  return True
