"""What can happen to a life: each fault changes a folder, or returns what to plant."""

import builtins
import ctypes
import os
import resource
import signal
import threading
import time
from pathlib import Path

import numpy as np

from tests.cpu import xla_flags
from tests.faults.lives import checkpoints

PHASES = ("opened", "half", "fsync", "rename", "renamed", "unlink")
SIGNALS = {
  "kill": (signal.SIGKILL,),
  "term": (signal.SIGTERM,),
  "term twice": (signal.SIGTERM, signal.SIGTERM),
  "int twice": (signal.SIGINT, signal.SIGINT),
}


def die():
  """End as under the kernel's out-of-memory killer."""
  os.kill(os.getpid(), signal.SIGKILL)


def strike_at(owner, name, strike):
  """Let `strike` have its way before each call of a function, with its arguments."""
  real = getattr(owner, name)

  def struck(*args, **kwargs):
    strike(*args)
    return real(*args, **kwargs)

  setattr(owner, name, struck)


def half_a_file(file):
  """Begin to write an archive."""
  file.write(b"PK" + bytes(1000))
  file.flush()


def die_in(phase, count):
  """Plant the death of a process at the count-th time that it gets to a phase of a
  write: of a checkpoint by "opened" and "half", of any file by the others."""
  place, last = {
    "opened": ((np, "savez"), None),
    "half": ((np, "savez"), lambda file, *_: half_a_file(file)),
    "fsync": ((os, "fsync"), None),
    "rename": ((os, "replace"), None),
    "renamed": ((os, "replace"), os.rename),
    "unlink": ((Path, "unlink"), None),
  }[phase]
  left = [count]

  def strike(*args):
    left[0] -= 1
    if left[0] == 0:
      if last:
        last(*args)
      die()

  return lambda: strike_at(*place, strike)


def full_disk(limit):
  """Limit the size of files, in bytes."""
  return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def full_under(part, count=1):
  """Plant a disk that is full for the files whose path has this part, from the
  count-th that is opened to be written on."""

  def plant():
    real, left = builtins.open, [count]

    def opened(file, mode="r", *args, **kwargs):
      if part in str(file) and set(mode) & set("wax+"):
        left[0] -= 1
        file = file if left[0] > 0 else "/dev/full"
      return real(file, mode, *args, **kwargs)

    builtins.open = opened

  return plant


def full_output():
  """Plant a disk that is full where what is printed goes."""
  os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def no_rights(folder):
  """Plant a user who may not write to a folder."""

  def plant():
    folder.chmod(0o555)
    # Nor may root, without the capability CAP_DAC_OVERRIDE: linux/capability.h.
    libc = ctypes.CDLL(None)
    version_and_pid = (ctypes.c_uint32 * 2)(0x20080522, 0)
    held = (ctypes.c_uint32 * 6)()
    assert libc.capget(version_and_pid, held) == 0
    held[0] &= ~(1 << 1)
    assert libc.capset(version_and_pid, held) == 0

  return plant


def two_devices():
  """Plant a machine of two devices."""
  os.environ["XLA_FLAGS"] = xla_flags(2)


def signalled(place, number, times):
  """Plant signals that the process gets, one after the other, at a place of a run."""
  from attention_lab.training import due
  from attention_lab.training.stepper import Stepper

  steps = {"compilation": 0, "warm-up": 0, "step": 12}
  owner, name = {
    "compilation": (Stepper, "compile"),
    "warm-up": (Stepper, "advance"),
    "step": (Stepper, "advance"),
    "evaluation": (due, "evaluate"),
    "save": (np, "savez"),
  }[place]
  sent = []

  def send():
    for _ in range(times):
      os.kill(os.getpid(), number)
      time.sleep(0.02)  # Two that come at once are one.

  def strike(first, *_):
    if sent or getattr(first, "step", None) != steps.get(place):
      return
    sent.append(True)
    if place == "compilation":  # While it compiles, in a call of C++.
      threading.Timer(0.02, send).start()
    elif place == "save":
      half_a_file(first)
      send()
      first.seek(0)
    else:
      send()

  return lambda: strike_at(owner, name, strike)


def jumping_clock(rng):
  """Plant a clock of the wall that jumps by years, back and forth."""
  real, leap = time.time, rng.uniform(-1e8, 1e8, 1000).tolist()
  calls = [0]

  def jumping():
    calls[0] += 1
    return real() + leap[calls[0] % len(leap)]

  return lambda: setattr(time, "time", jumping)


def damage_newest(workdir, rng, how=None):
  """Flip a bit of the newest checkpoint, cuts it or removes it, where another whole
  one is there to go on from. Returns what was done."""
  whole = [path for path, fine in checkpoints(workdir).items() if fine]
  if len(whole) < 2:
    return None
  how = how or ("flip", "cut", "missing")[rng.integers(3)]
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


def damage_metrics(workdir, rng):
  """Cut metrics.jsonl anywhere, or adds a part of a line, as a power cut may."""
  path = Path(workdir) / "metrics.jsonl"
  if not path.exists() or not (content := path.read_bytes()):
    return
  cut = content[: rng.integers(len(content))]
  tail = content.splitlines()[-1]
  path.write_bytes(cut if rng.integers(2) else content + tail[: len(tail) // 2])
