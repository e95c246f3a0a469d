"""Faults aimed at one place of a tiny run; after each it ends as one left alone.

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
from tests.faults import faults, lives

STEPS = 24
STEP_OF = {"compilation": 0, "warm-up": 1, "step": 13, "evaluation": 7, "save": 5}
STARTED = 12  # Steps that a run has taken before other faults befall it.


class Scene:
  """A run in a folder of its own, and what it has to end as.

  Args:
    folder: an empty one.
    expected: the `lives.outcome` of a run left alone.
  """

  def __init__(self, folder, expected):
    folder.mkdir()
    self.workdir = folder / "run"
    self.expected = expected

  def live(self, plant=lambda: None, words=()):
    """Run once, to the end if nothing befalls it."""
    life = lives.live(self.workdir, STEPS, plant, words=words)
    assert "Traceback" not in life.err, life.err
    return life

  def begin(self, words=()):
    """Run until a signal at a step in the middle; checkpoints are there then."""
    life = self.live(faults.signalled("step", signal.SIGTERM, 1), words)
    assert life.status == 128 + signal.SIGTERM, life
    assert lives.saved_step(self.workdir) > STARTED
    assert len(lives.checkpoints(self.workdir)) > 1

  def end(self, err="", same=True):
    """Go on to the end, with what must be said on standard error."""
    saved = lives.saved_step(self.workdir)
    life = self.live()
    assert life.status == 0, life
    assert (err in life.err) if err else not life.err, life.err
    assert not saved or f"Resuming at step {saved} in" in life.out, life.out
    if same:
      assert lives.outcome(self.workdir) == self.expected
    assert not list(self.workdir.rglob("*.partial"))

  def refused(self, life, *answers):
    """Return the one-line message of a start that ended with status 2."""
    assert life.status == 2, life
    assert life.err.count("error: ") == life.err.count("\n") == 1, life.err
    assert all(answer in life.err for answer in answers), life.err


def strike(place, times, number, scene):
  """Signal at a place: the first one saves, within a step; the second one ends it."""
  life = scene.live(faults.signalled(place, number, times))
  step = STEP_OF[place]
  # Two that come within one call of C++, as compiling is, are one to Python.
  at_once = times == 2 and (place != "compilation" or life.status != 128 + number)
  if at_once:
    assert life.status == -number, life
    step = (step - 1) // lives.EVERY * lives.EVERY if step else 0
  else:
    assert life.status == 128 + number, life
    assert f"Interrupted at step {step}; saved" in life.out
  assert lives.saved_step(scene.workdir) == step
  assert all(lives.checkpoints(scene.workdir).values())
  scene.end()


def kill_in(phase, scene):
  """The process is killed at a phase of a write."""
  for count in (1, 4):
    life = scene.live(faults.die_in(phase, count))
    assert life.status == -signal.SIGKILL, life
  assert all(lives.checkpoints(scene.workdir).values())
  scene.end()


def full(part, count, scene):
  """The disk is full where one kind of files goes, from the count-th one on."""
  scene.begin()
  before = lives.checkpoints(scene.workdir)
  life = scene.live(faults.full_under(part, count))
  scene.refused(life, "No space left on device", "Free some space")
  assert lives.checkpoints(scene.workdir) == before
  scene.end()


def full_board(scene):
  """The disk is full where TensorBoard's events go: the run goes on without them."""
  words = ["--config.log.tensorboard=true"]
  life = lives.live(scene.workdir, STEPS, faults.full_under("tensorboard"), words=words)
  assert life.status == 0, life
  assert life.err.startswith("warning: TensorBoard missed"), life.err
  assert life.err.count("\n") == 1, life.err
  assert lives.outcome(scene.workdir) == scene.expected


def full_printing(scene):
  """The disk is full where what is printed goes: the run goes on and says it once."""
  life = scene.live(faults.full_output)
  assert life.status == 0, life
  told = "warning: nothing more can be printed: No space left on device.\n"
  assert life.err == told, life.err
  scene.end()


def read_only(scene):
  """The folder may not be written to."""
  scene.begin()
  life = scene.live(faults.no_rights(scene.workdir))
  scene.refused(life, f"Cannot write to {scene.workdir}", "Permission denied")
  scene.workdir.chmod(0o755)
  scene.end()


def more_devices(scene):
  """The machine has other devices: the same numbers but for rounding."""
  words = ["--config.model.dropout=0.0"]  # Which each device draws for itself.
  alone = scene.workdir.with_name("alone")
  assert lives.live(alone, STEPS, words=words).status == 0
  scene.begin(words)
  life = scene.live(faults.two_devices, words)
  assert (life.status, life.err) == (0, ""), life
  assert f"Resuming at step {STEP_OF['step']} in" in life.out
  (actual, arrays), (expected, others) = map(lives.outcome, (scene.workdir, alone))
  assert arrays.keys() == others.keys()
  assert [record.keys() for record in actual] == [x.keys() for x in expected]
  for record, other in zip(actual, expected, strict=True):
    assert (record["step"], record["split"]) == (other["step"], other["split"])
    np.testing.assert_allclose(record["loss"], other["loss"], rtol=1e-5)


def second(scene):
  """A second process is given the same folder, and then the first one is killed."""
  stop = faults.signalled("step", signal.SIGSTOP, 1)
  pid = lives.begin(scene.workdir, STEPS, stop)
  until = time.monotonic() + lives.PATIENCE
  while lives.reached_step(scene.workdir) < STARTED:
    assert time.monotonic() < until
    time.sleep(0.02)
  try:
    life = scene.live()
  finally:
    lives.kill(pid)
  scene.refused(life, f"in use by process {pid} on {socket.gethostname()}")
  scene.end()


def jump(scene):
  """The clock jumps by years."""
  plant = faults.jumping_clock(np.random.default_rng(0))
  kill = faults.die_in("half", 3)
  assert scene.live(lambda: (plant(), kill())).status == -signal.SIGKILL
  assert scene.live(plant).status == 0
  scene.end()


def cut_metrics(left, scene):
  """A part of metrics.jsonl is lost, from before the step that is gone on from too."""
  scene.begin()
  path = scene.workdir / "metrics.jsonl"
  content = path.read_bytes()
  path.unlink() if left is None else path.write_bytes(content[:left])
  scene.end(err="they are taken from the checkpoint")


def damage(how, scene):
  """The newest checkpoint is damaged, or gone: the one before it is taken."""
  scene.begin()
  newest = next(iter(lives.checkpoints(scene.workdir)))
  rng = np.random.default_rng(0)
  assert faults.damage_newest(scene.workdir, rng, how) == how
  assert lives.saved_step(scene.workdir) < int(newest.stem[:9])
  scene.end(err="" if how == "missing" else f"{newest} is damaged")


TERM, INT = signal.SIGTERM, signal.SIGINT
SCENES = {
  **{f"{p} once": partial(strike, p, 1, TERM) for p in STEP_OF},
  **{f"{p} twice": partial(strike, p, 2, TERM) for p in STEP_OF},
  "Ctrl-C twice": partial(strike, "step", 2, INT),
  **{f"killed: {p}": partial(kill_in, p) for p in faults.PHASES},
  # Behind the empty files by which a start tries whether it may write.
  "full: checkpoints": partial(full, "checkpoints", 2),
  "full: metrics": partial(full, "metrics.jsonl", 1),
  "full: config": partial(full, ".partial", 3),
  "full: tensorboard": full_board,
  "full: printing": full_printing,
  "read-only": read_only,
  "devices": more_devices,
  "second process": second,
  "clock": jump,
  "metrics cut in the last line": partial(cut_metrics, -2),
  "metrics cut in the middle": partial(cut_metrics, 400),
  "metrics lost": partial(cut_metrics, None),
  **{f"newest: {how}": partial(damage, how) for how in ("flip", "cut", "missing")},
}


def main(names):
  """Play the scenes; tells of each how it went. Returns how many went wrong."""
  unknown = [name for name in names if name not in SCENES]
  if unknown:
    print(f"{unknown[0]!r}: {nearest(unknown[0], SCENES)}")
    return 1
  wrong = 0
  with lives.place() as root:
    life = lives.live(root / "alone", STEPS)
    assert (life.status, life.err) == (0, ""), life
    expected = lives.outcome(root / "alone")
    for number, name in enumerate(names or SCENES):
      scene = Scene(root / f"scene {number}", expected)
      try:
        SCENES[name](scene)
        print(f"ok {name}", flush=True)
      except Exception:
        wrong += 1
        print(f"WRONG {name}\n{traceback.format_exc()}", flush=True)
  return wrong


if __name__ == "__main__":
  sys.exit(min(main(sys.argv[1:]), 1))
