"""Faults at chosen places of a tiny run, which then ends as an undisturbed run.

python -m tests.faults.aimed
python -m tests.faults.aimed "save twice" "metrics lost"
"""

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

  def resume(self, err=""):
    """Resume the run to its end, and assert its outcome.

    Args:
      err: text expected on standard error; "" if nothing may be printed there.
    """
    saved = processes.saved_step(self.workdir)
    ended = self.run()
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


def second_process(scene):
  """Start a second process in the same folder, and then kill the first one."""
  stop = faults.signalled("step", signal.SIGSTOP, 1)
  pid = processes.start(scene.workdir, STEPS, stop)
  until = time.monotonic() + processes.TIMEOUT
  while processes.reached_step(scene.workdir) < STARTED:
    assert time.monotonic() < until
    time.sleep(0.02)
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


TERM, INT = signal.SIGTERM, signal.SIGINT
SCENES = {
  **{f"{p} once": partial(signalled, p, 1, TERM) for p in STEP_OF},
  **{f"{p} twice": partial(signalled, p, 2, TERM) for p in STEP_OF},
  "Ctrl-C twice": partial(signalled, "step", 2, INT),
  **{f"{p}: SIGHUP": partial(signalled, p, 1, signal.SIGHUP) for p in STEP_OF},
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
