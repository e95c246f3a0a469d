"""Faults at chosen places of a tiny run, which then ends as an undisturbed run.

python -m tests.faults.aimed
python -m tests.faults.aimed "save twice" "metrics lost"
"""

import signal
import socket
import sys
import traceback
from functools import partial

import numpy as np

from attention_lab.errors import nearest
from tests.faults import faults, processes, storage
from tests.faults.scene import STEPS, Scene, wait_for_step

STEP_OF = {"compilation": 0, "warm-up": 1, "step": 13, "evaluation": 7, "save": 5}


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
  "devices": more_devices,
  "second process": second_process,
  "clock": jumping_clock,
  "killed between two seeds": kill_between_seeds,
  **storage.SCENES,
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
