"""Scenes of disks and folders: full, unreadable, damaged, without locks, with links."""

import errno
import os
import signal
import socket
from functools import partial

import numpy as np

from tests.faults import faults, processes
from tests.faults.scene import STARTED, STEPS, wait_for_step


def full(fragment, count, scene):
  """Fill the disk for files of one kind, from the count-th file on."""
  scene.begin()
  before = processes.checkpoints(scene.workdir)
  ended = scene.run(faults.full_under(fragment, count))
  scene.assert_rejected(ended, "No space left on device", "Free some space")
  assert processes.checkpoints(scene.workdir) == before
  scene.resume()


def full_tensorboard(scene):
  """Fill the disk of TensorBoard's events: the run continues without them."""
  words = ["--config.log.tensorboard=true"]
  ended = processes.run(
    scene.workdir, STEPS, faults.full_under("tensorboard"), words=words
  )
  assert ended.status == 0, ended
  assert ended.err.startswith("warning: TensorBoard missed"), ended.err
  assert ended.err.count("\n") == 1, ended.err
  assert processes.outcome(scene.workdir) == scene.expected


def full_output(scene):
  """Fill the disk of standard output: the run continues after one warning."""
  ended = scene.run(faults.full_output)
  assert ended.status == 0, ended
  warning = "warning: nothing more can be printed: No space left on device.\n"
  assert ended.err == warning, ended.err
  scene.resume()


def read_only(scene):
  """Remove the permission to write to the folder."""
  scene.begin()
  ended = scene.run(faults.no_rights(scene.workdir))
  scene.assert_rejected(ended, f"Cannot write to {scene.workdir}", "Permission denied")
  scene.workdir.chmod(0o755)
  scene.resume()


def truncate_metrics(size, scene):
  """Truncate metrics.jsonl, also before the step of the checkpoint, or remove it."""
  scene.begin()
  path = scene.workdir / "metrics.jsonl"
  content = path.read_bytes()
  path.unlink() if size is None else path.write_bytes(content[:size])
  scene.resume(err="they are taken from the checkpoint")


def damage(how, scene):
  """Damage or remove the newest checkpoint: the run resumes from the one before."""
  scene.begin()
  newest = next(iter(processes.checkpoints(scene.workdir)))
  rng = np.random.default_rng(0)
  assert faults.damage_newest(scene.workdir, rng, how) == how
  assert processes.saved_step(scene.workdir) < int(newest.stem[:9])
  scene.resume(err="" if how == "missing" else f"{newest} is damaged")


def unreadable(number, scene):
  """Let reading the newest checkpoint fail: the run resumes from the one before."""
  scene.begin()
  newest, before, *_ = processes.checkpoints(scene.workdir)
  ended = scene.run(faults.failing(os, "open", newest, number))
  assert ended.status == 0, ended
  assert f"{newest} is damaged" in ended.err, ended.err
  assert f"Resuming at step {int(before.stem[:9])} in" in ended.out, ended.out
  scene.resume()


def unlisted(number, scene):
  """Let listing the checkpoints fail: nothing is started anew."""
  scene.begin()
  folder = scene.workdir / "checkpoints"
  before = processes.checkpoints(scene.workdir)
  ended = scene.run(faults.failing(os, "listdir", folder, number))
  scene.assert_rejected(ended, f"Cannot read {folder}", os.strerror(number))
  assert processes.checkpoints(scene.workdir) == before
  scene.resume()


def unreadable_metrics(number, scene):
  """Let reading metrics.jsonl fail: its records are taken from the checkpoint."""
  scene.begin()
  path = scene.workdir / "metrics.jsonl"
  fail = faults.failing(os, "open", path, number, times=1)  # Writing succeeds.
  scene.resume(f"cannot read {path}", fail)


def lockless(number, scene):
  """Train where locks fail: another process is refused, and a killed one is not."""
  no_locks = faults.lockless(number)
  stop = faults.signalled("step", signal.SIGSTOP, 1)
  pid = processes.start(scene.workdir, STEPS, lambda: (no_locks(), stop()))
  wait_for_step(scene)
  try:
    ended = scene.run(no_locks)
  finally:
    processes.kill(pid)
  assert ended.status == 2, ended
  assert "has no locks" in ended.err
  assert f"in use by process {pid} on {socket.gethostname()}" in ended.err, ended.err
  scene.resume("has no locks", no_locks)
  assert not list(scene.workdir.glob(".lock.*"))


def link(name, scene):
  """Replace a part of the folder by a link while the run trains.

  Nothing is written or removed at the end of the link. A folder ends the run; a file is
  replaced, or refused at the next start.
  """
  elsewhere = scene.workdir.with_name("elsewhere")
  if name == "checkpoints":
    elsewhere.mkdir()
    outside = elsewhere / f"000000001-{'0' * 16}.npz"
  else:
    outside = elsewhere
  outside.write_bytes(b"outside the run")
  path = scene.workdir / name

  def act():
    target = next(iter(processes.checkpoints(scene.workdir))) if not name else path
    faults.replace_by_link(target, elsewhere)

  ended = scene.run(faults.at_step(STARTED, act))
  kept = elsewhere.iterdir() if name == "checkpoints" else [elsewhere]
  assert [x.read_bytes() for x in kept] == [b"outside the run"]
  if name == "checkpoints":
    scene.assert_rejected(ended, f"{path} is a symbolic link")
  else:
    assert (ended.status, ended.err) == (0, ""), ended
  if path.is_symlink():
    scene.assert_rejected(scene.run(), f"{path} is a symbolic link")
    path.unlink()
    path.with_name(f"{name}.moved").rename(path)
  scene.resume()


SCENES = {
  # The first files are the empty ones with which a run tests for write permission.
  "full: checkpoints": partial(full, "checkpoints", 2),
  "full: metrics": partial(full, "metrics.jsonl", 1),
  "full: config": partial(full, ".partial", 3),
  "full: tensorboard": full_tensorboard,
  "full: printing": full_output,
  "read-only": read_only,
  "metrics cut in the last line": partial(truncate_metrics, -2),
  "metrics cut in the middle": partial(truncate_metrics, 400),
  "metrics lost": partial(truncate_metrics, None),
  **{f"newest: {how}": partial(damage, how) for how in ("flip", "cut", "missing")},
  **{f"newest: {e}": partial(unreadable, n) for e, n in faults.UNREADABLE.items()},
  **{f"list: {e}": partial(unlisted, n) for e, n in faults.UNREADABLE.items()},
  "metrics: EIO": partial(unreadable_metrics, errno.EIO),
  **{f"locks: {e}": partial(lockless, n) for e, n in faults.LOCKLESS.items()},
  "link: newest checkpoint": partial(link, ""),
  **{f"link: {name}": partial(link, name) for name in ("checkpoints", "metrics.jsonl")},
}
