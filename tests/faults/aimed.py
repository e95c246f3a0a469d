"""Faults at chosen places of a tiny run, which then ends as an undisturbed run.

python -m tests.faults.aimed
python -m tests.faults.aimed "save twice" "metrics lost"
"""

import errno
import os
import signal
import socket
import sys
import time
import traceback
from functools import partial

import numpy as np

from attention_lab.errors import nearest
from tests.faults import faults, processes

STEPS = 24
STEP_OF = {"compilation": 0, "warm-up": 1, "step": 13, "evaluation": 7, "save": 5}
STARTED = 12  # Steps of a run before faults of other kinds.


class Scene:
  """A run in its own folder, and its expected outcome.

  Args:
    folder: folder to be created.
    expected: the `processes.outcome` of an undisturbed run.
  """

  def __init__(self, folder, expected):
    folder.mkdir()
    self.workdir = folder / "run"
    self.expected = expected

  def run(self, inject=lambda: None, words=()):
    """Run a process until it ends, and return its result."""
    ended = processes.run(self.workdir, STEPS, inject, words=words)
    assert "Traceback" not in ended.err, ended.err
    return ended

  def begin(self, words=()):
    """Run until a signal in the middle; the run has several checkpoints then."""
    ended = self.run(faults.signalled("step", signal.SIGTERM, 1), words)
    assert ended.status == 128 + signal.SIGTERM, ended
    assert processes.saved_step(self.workdir) > STARTED
    assert len(processes.checkpoints(self.workdir)) > 1

  def resume(self, err="", inject=lambda: None):
    """Resume the run to its end, and assert its outcome.

    Args:
      err: text expected on standard error; "" if nothing may be printed there.
      inject: injects a fault that the run has to survive.
    """
    saved = processes.saved_step(self.workdir)
    ended = self.run(inject)
    assert ended.status == 0, ended
    assert (err in ended.err) if err else not ended.err, ended.err
    assert not saved or f"Resuming at step {saved} in" in ended.out, ended.out
    assert processes.outcome(self.workdir) == self.expected
    assert not list(self.workdir.rglob("*.partial"))

  def assert_rejected(self, ended, *fragments):
    """Assert that a process ended with status 2 and one line with these fragments."""
    assert ended.status == 2, ended
    assert ended.err.count("error: ") == ended.err.count("\n") == 1, ended.err
    assert all(fragment in ended.err for fragment in fragments), ended.err


def signalled(place, times, number, scene):
  """Send signals at a place: the first one saves within a step, the second one ends."""
  ended = scene.run(faults.signalled(place, number, times))
  step = STEP_OF[place]
  # Python may receive two signals as one within a call of C++, such as a compilation.
  at_once = times == 2 and (place != "compilation" or ended.status != 128 + number)
  if at_once:
    assert ended.status == -number, ended
    step = (step - 1) // processes.EVERY * processes.EVERY if step else 0
  else:
    assert ended.status == 128 + number, ended
    assert f"Interrupted at step {step}; saved" in ended.out
  assert processes.saved_step(scene.workdir) == step
  assert all(processes.checkpoints(scene.workdir).values())
  scene.resume()


def kill_in(phase, scene):
  """Kill the process at a phase of a write."""
  for count in (1, 4):
    ended = scene.run(faults.die_in(phase, count))
    assert ended.status == -signal.SIGKILL, ended
  assert all(processes.checkpoints(scene.workdir).values())
  scene.resume()


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


def more_devices(scene):
  """Resume on other devices: the losses are equal up to rounding."""
  words = ["--config.model.dropout=0.0"]  # Each device has its own dropout mask.
  undisturbed = scene.workdir.with_name("undisturbed")
  assert processes.run(undisturbed, STEPS, words=words).status == 0
  scene.begin(words)
  ended = scene.run(faults.two_devices, words)
  assert (ended.status, ended.err) == (0, ""), ended
  assert f"Resuming at step {STEP_OF['step']} in" in ended.out
  (actual, arrays), (expected, others) = map(
    processes.outcome, (scene.workdir, undisturbed)
  )
  assert arrays.keys() == others.keys()
  assert [record.keys() for record in actual] == [x.keys() for x in expected]
  for record, other in zip(actual, expected, strict=True):
    assert (record["step"], record["split"]) == (other["step"], other["split"])
    np.testing.assert_allclose(record["loss"], other["loss"], rtol=1e-5)


def wait_for_step(scene):
  """Wait until a process that was started has logged step `STARTED`."""
  until = time.monotonic() + processes.TIMEOUT
  while processes.reached_step(scene.workdir) < STARTED:
    assert time.monotonic() < until
    time.sleep(0.02)


def second_process(scene):
  """Start a second process in the same folder, and then kill the first one."""
  stop = faults.signalled("step", signal.SIGSTOP, 1)
  pid = processes.start(scene.workdir, STEPS, stop)
  wait_for_step(scene)
  try:
    ended = scene.run()
  finally:
    processes.kill(pid)
  scene.assert_rejected(ended, f"in use by process {pid} on {socket.gethostname()}")
  scene.resume()


def jumping_clock(scene):
  """Make the clock jump by years."""
  inject = faults.jumping_clock(np.random.default_rng(0))
  kill = faults.die_in("half", 3)
  assert scene.run(lambda: (inject(), kill())).status == -signal.SIGKILL
  assert scene.run(inject).status == 0
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
    stranger = elsewhere / f"000000001-{'0' * 16}.npz"
  else:
    stranger = elsewhere
  stranger.write_bytes(b"not ours")
  path = scene.workdir / name

  def act():
    target = next(iter(processes.checkpoints(scene.workdir))) if not name else path
    faults.replace_by_link(target, elsewhere)

  ended = scene.run(faults.at_step(STARTED, act))
  kept = elsewhere.iterdir() if name == "checkpoints" else [elsewhere]
  assert [x.read_bytes() for x in kept] == [b"not ours"]
  if name == "checkpoints":
    scene.assert_rejected(ended, f"{path} is a symbolic link")
  else:
    assert (ended.status, ended.err) == (0, ""), ended
  if path.is_symlink():
    scene.assert_rejected(scene.run(), f"{path} is a symbolic link")
    path.unlink()
    path.with_name(f"{name}.moved").rename(path)
  scene.resume()


def kill_between_seeds(scene):
  """Kill a program of two seeds between the saves of their checkpoints of one step."""
  words = ["--seeds=2", "--config.checkpoint.keep=1"]
  undisturbed = scene.workdir.with_name("undisturbed")
  assert processes.run(undisturbed, STEPS, words=words).status == 0
  for phase, count in (("half", 4), ("half", 4), ("unlink", 7)):
    ended = scene.run(faults.die_in(phase, count), words)
    assert ended.status == -signal.SIGKILL, (phase, ended)
  saved = [processes.saved_step(scene.workdir / f"seed{i}") for i in range(2)]
  ended = scene.run(words=words)
  assert (ended.status, ended.err) == (0, ""), ended
  assert f"Resuming at step {min(saved)} in" in ended.out, (saved, ended.out)
  for seed in ("seed0", "seed1"):
    folders = undisturbed / seed, scene.workdir / seed
    expected, actual = map(processes.outcome, folders)
    assert actual == expected


TERM, INT = signal.SIGTERM, signal.SIGINT
SAVING = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)  # Besides SIGTERM and SIGINT.
SCENES = {
  **{f"{p} once": partial(signalled, p, 1, TERM) for p in STEP_OF},
  **{f"{p} twice": partial(signalled, p, 2, TERM) for p in STEP_OF},
  "Ctrl-C twice": partial(signalled, "step", 2, INT),
  **{f"{p}: {x.name}": partial(signalled, p, 1, x) for x in SAVING for p in STEP_OF},
  **{f"killed: {p}": partial(kill_in, p) for p in faults.PHASES},
  # The first files are the empty ones with which a run tests for write permission.
  "full: checkpoints": partial(full, "checkpoints", 2),
  "full: metrics": partial(full, "metrics.jsonl", 1),
  "full: config": partial(full, ".partial", 3),
  "full: tensorboard": full_tensorboard,
  "full: printing": full_output,
  "read-only": read_only,
  "devices": more_devices,
  "second process": second_process,
  "clock": jumping_clock,
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
  "killed between two seeds": kill_between_seeds,
}


def main(names):
  """Run the scenes, and print each result; return the number of failed scenes."""
  unknown = [name for name in names if name not in SCENES]
  if unknown:
    print(f"{unknown[0]!r}: {nearest(unknown[0], SCENES)}")
    return 1
  failed = 0
  with processes.environment() as root:
    ended = processes.run(root / "undisturbed", STEPS)
    assert (ended.status, ended.err) == (0, ""), ended
    expected = processes.outcome(root / "undisturbed")
    for number, name in enumerate(names or SCENES):
      scene = Scene(root / f"scene {number}", expected)
      try:
        SCENES[name](scene)
        print(f"ok {name}", flush=True)
      except Exception:
        failed += 1
        print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
  return failed


if __name__ == "__main__":
  sys.exit(min(main(sys.argv[1:]), 1))
