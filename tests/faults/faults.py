"""Faults of a process or a folder.

A function with the name of a fault damages a folder, or returns a function that injects the
fault into the process in which it is called.
"""

import builtins
import ctypes
import errno
import fcntl
import os
import resource
import signal
import threading
import time
from pathlib import Path

import numpy as np

from tests.cpu import xla_flags
from tests.faults.processes import checkpoints

PHASES = ("opened", "half", "fsync", "rename", "renamed", "unlink")
SIGNALS = {
  "kill": (signal.SIGKILL,),
  "term": (signal.SIGTERM,),
  "term twice": (signal.SIGTERM, signal.SIGTERM),
  "int twice": (signal.SIGINT, signal.SIGINT),
  "hup": (signal.SIGHUP,),
  "usr1": (signal.SIGUSR1,),
  "usr2": (signal.SIGUSR2,),
}
# Error numbers of files on a bad disk or a network mount, and of mounts without locks.
UNREADABLE = {"EIO": errno.EIO, "EACCES": errno.EACCES, "ESTALE": errno.ESTALE}
LOCKLESS = {
  "ENOLCK": errno.ENOLCK,
  "EOPNOTSUPP": errno.EOPNOTSUPP,
  "ENOSYS": errno.ENOSYS,
}


def die():
  """Kill this process, as the kernel's out-of-memory killer does."""
  os.kill(os.getpid(), signal.SIGKILL)


def call_before(owner, name, hook):
  """Patch a function: `hook` is called with its arguments before each call."""
  original = getattr(owner, name)

  def patched(*args, **kwargs):
    hook(*args)
    return original(*args, **kwargs)

  setattr(owner, name, patched)


def write_partially(file):
  """Write the beginning of an archive."""
  file.write(b"PK" + bytes(1000))
  file.flush()


def die_in(phase, count):
  """Kill the process when it reaches a phase of a write for the count-th time.

  The phases "opened" and "half" are those of a checkpoint, the others of any file.
  """
  target, last = {
    "opened": ((np, "savez"), None),
    "half": ((np, "savez"), lambda file, *_: write_partially(file)),
    "fsync": ((os, "fsync"), None),
    "rename": ((os, "replace"), None),
    "renamed": ((os, "replace"), os.rename),
    "unlink": ((Path, "unlink"), None),
  }[phase]
  remaining = [count]

  def kill_at_last(*args):
    remaining[0] -= 1
    if remaining[0] == 0:
      if last:
        last(*args)
      die()

  return lambda: call_before(*target, kill_at_last)


def full_disk(limit):
  """Limit the size of a file, in bytes."""
  return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def full_under(fragment, count=1):
  """Fill the disk for files whose path contains `fragment`, from the count-th one on.

  Only files that are opened for writing count.
  """

  def inject():
    original, remaining = builtins.open, [count]

    def opened(file, mode="r", *args, **kwargs):
      if fragment in str(file) and set(mode) & set("wax+"):
        remaining[0] -= 1
        if remaining[0] <= 0:
          # The device exists, and openers refuse devices.
          file, mode = "/dev/full", mode.replace("x", "w")
          kwargs.pop("opener", None)
      return original(file, mode, *args, **kwargs)

    builtins.open = opened

  return inject


def failing(owner, name, path, number, times=1000):
  """Let a function fail for one path, the first `times` times."""
  remaining = [times]

  def fail(first, *_):
    if str(first) == str(path) and remaining[0]:
      remaining[0] -= 1
      raise OSError(number, os.strerror(number), str(path))

  return lambda: call_before(owner, name, fail)


def lockless(number):
  """Let locks fail, as on a mount without them."""

  def fail(*_):
    raise OSError(number, os.strerror(number))

  return lambda: call_before(fcntl, "flock", fail)


def full_output():
  """Fill the disk of standard output."""
  os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def no_rights(folder):
  """Remove the permission to write to a folder."""

  def inject():
    folder.chmod(0o555)
    # Root needs the capability CAP_DAC_OVERRIDE (linux/capability.h) to be dropped.
    libc = ctypes.CDLL(None)
    version_and_pid = (ctypes.c_uint32 * 2)(0x20080522, 0)
    held = (ctypes.c_uint32 * 6)()
    assert libc.capget(version_and_pid, held) == 0
    held[0] &= ~(1 << 1)
    assert libc.capset(version_and_pid, held) == 0

  return inject


def two_devices():
  """Give the process two devices."""
  os.environ["XLA_FLAGS"] = xla_flags(2)


def signalled(place, number, times):
  """Send `times` signals to the process, one after the other, at a place of the run."""
  from attention_lab.training import validation
  from attention_lab.training.stepper import Stepper

  steps = {"compilation": 0, "warm-up": 0, "step": 12}
  owner, name = {
    "compilation": (Stepper, "compile"),
    "warm-up": (Stepper, "advance"),
    "step": (Stepper, "advance"),
    "evaluation": (validation, "batch_sums"),
    "save": (np, "savez"),
  }[place]
  sent = []

  def send():
    for _ in range(times):
      os.kill(os.getpid(), number)
      time.sleep(0.02)  # Two simultaneous signals would be delivered as one.

  def send_once(first, *_):
    if sent or getattr(first, "step", None) != steps.get(place):
      return
    sent.append(True)
    if place == "compilation":  # During the compilation, within a call of C++.
      threading.Timer(0.02, send).start()
    elif place == "save":
      write_partially(first)
      send()
      first.seek(0)
    else:
      send()

  return lambda: call_before(owner, name, send_once)


def at_step(step, act):
  """Call `act` once, before the run goes on from a step."""
  from attention_lab.training.stepper import Stepper

  done = []

  def act_once(stepper, *_):
    if stepper.step == step and not done:
      done.append(act())

  return lambda: call_before(Stepper, "advance", act_once)


def replace_by_link(path, elsewhere):
  """Replace a file or folder by a link to something else, which is returned."""
  path.rename(path.with_name(f"{path.name}.moved"))
  path.symlink_to(elsewhere)


def jumping_clock(rng):
  """Make the wall clock jump by years, back and forth."""
  original, leaps = time.time, rng.uniform(-1e8, 1e8, 1000).tolist()
  calls = [0]

  def jumping():
    calls[0] += 1
    return original() + leaps[calls[0] % len(leaps)]

  return lambda: setattr(time, "time", jumping)


def damage_newest(workdir, rng, how=None):
  """Flip a bit of the newest undamaged checkpoint, truncate it or remove it.

  Returns:
    The kind of damage; None if the run has no other undamaged checkpoint to resume from.
  """
  intact = [path for path, valid in checkpoints(workdir).items() if valid]
  if len(intact) < 2:
    return None
  how = how or ("flip", "cut", "missing")[rng.integers(3)]
  content = bytearray(intact[0].read_bytes())
  if how == "flip":
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
  elif how == "cut":
    del content[rng.integers(len(content)) :]
  if how == "missing":
    intact[0].unlink()
  else:
    intact[0].write_bytes(content)
  return how


def damage_metrics(workdir, rng):
  """Truncate metrics.jsonl, or append part of a line, as a power failure may."""
  path = Path(workdir) / "metrics.jsonl"
  if not path.exists() or not (content := path.read_bytes()):
    return
  cut = content[: rng.integers(len(content))]
  tail = content.splitlines()[-1]
  path.write_bytes(cut if rng.integers(2) else content + tail[: len(tail) // 2])
