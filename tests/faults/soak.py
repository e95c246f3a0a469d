"""Kills, disturbs and damages one tiny run again and again, and proves that it ends as
one that was left alone.

python -m tests.faults.soak --minutes=30
python -m tests.faults.soak --minutes=60 --kills=200 --faults=kill,phase
"""

import argparse
import collections
import json
import shutil
import sys
import time

import numpy as np

from tests.faults import faults, lives

KINDS = (*faults.SIGNALS, "phase", "full", "damage", "metrics", "clock", "none")


class Soak:
  """Runs in a folder of their own, one after another, each through many lives.

  Args:
    root: an empty folder.
    steps: of each run.
    kinds: the faults.
    seed: of what happens.
  """

  def __init__(self, root, steps, kinds, seed):
    self._root, self._steps, self._kinds = root, steps, kinds
    self._rng = np.random.default_rng(seed)
    self._workdir = root / "run"
    self.counts = collections.Counter()
    self.figures = {"lives": 0, "killed": 0, "runs_equal": 0, "runs_unequal": 0}
    self.worst = collections.Counter()  # The largest seen of each.
    self.memory = []  # KiB, of the starts that went from the first step to the end.
    left_alone = root / "left_alone"
    assert lives.live(left_alone, steps).status == 0  # Compiles.
    shutil.rmtree(left_alone)
    self._alone = self._undisturbed(left_alone)
    self._expected = lives.outcome(left_alone)
    self._size = lives.size(left_alone)

  def _undisturbed(self, workdir):
    life = lives.live(workdir, self._steps)
    assert life.status == 0, life.err
    self.memory.append(life.memory)
    return life

  def go_on(self):
    """One life, and what must hold after it."""
    kind = self._kinds[self._rng.integers(len(self._kinds))]
    before = self._disturb(kind)
    plant, signals = self._plan(kind)
    life = lives.live(self._workdir, self._steps, plant, signals)
    self.figures["lives"] += 1
    self.figures["killed"] += life.status == -faults.signal.SIGKILL
    self.counts[f"{kind} → {life.status}"] += 1
    self._check(kind, life, before)
    if life.status == 0:
      self._compare()

  def _disturb(self, kind):
    """Damage the folder, if that is what happens; the step to go on from."""
    if kind == "damage" and (how := faults.damage_newest(self._workdir, self._rng)):
      self.counts[f"damage: {how}"] += 1
    if kind == "metrics":
      faults.damage_metrics(self._workdir, self._rng)
    return lives.saved_step(self._workdir)

  def _plan(self, kind):
    """Return the faults and the signals of one start."""
    rng, plant, signals = self._rng, lambda: None, ()
    if kind == "phase":
      phase = faults.PHASES[rng.integers(len(faults.PHASES))]
      self.counts[f"phase: {phase}"] += 1
      plant = faults.die_in(phase, int(rng.integers(1, 30)))
    elif kind == "full":
      least = 400  # What is said in the end has to find room.
      limit = np.exp(rng.uniform(np.log(least), np.log(60_000)))
      plant = faults.full_disk(int(limit))
    elif kind == "clock":
      plant = faults.jumping_clock(rng)
    if kind in faults.SIGNALS:
      numbers = faults.SIGNALS[kind]
      delays = [rng.uniform(0, self._alone.seconds), *rng.uniform(0, 0.2, 1)]
      signals = list(zip(delays, numbers, strict=False))
    elif kind not in ("phase", "full"):  # A life that is not the run's last one.
      signals = [(rng.uniform(0.3, 1) * self._alone.seconds, faults.signal.SIGKILL)]
    return plant, signals

  def _check(self, kind, life, before):
    """Raise AssertionError where something was lost or said wrongly."""
    told = f"{kind}, status {life.status}\n{life.out}\n{life.err}"
    assert "Traceback" not in life.err, told
    assert life.status in (0, 2, 130, 143, -2, -9, -15), told
    if life.status == 2:
      assert kind == "full", told
      assert life.err.count("error: ") == 1, told
    if "Resuming at step" in life.out:
      assert f"Resuming at step {before} in" in life.out, f"{before}, {told}"
    else:
      assert before == 0 or "New run in" not in life.out, f"{before}, {told}"
    assert lives.saved_step(self._workdir) >= before, told
    if kind != "damage":
      assert sum(not fine for fine in lives.checkpoints(self._workdir).values()) <= 1
    if life.status == 143:  # What it said it saved.
      assert lives.saved_step(self._workdir) == lives.reached_step(self._workdir), told
    files = len(lives.checkpoints(self._workdir))
    lost = lives.reached_step(self._workdir) - lives.saved_step(self._workdir)
    assert files <= lives.KEEP + 2, told
    assert kind in ("damage", "full") or lost <= 2 * lives.EVERY, told
    self._see("checkpoints", files)
    self._see("handles", life.handles)
    self._see("bytes_over_undisturbed", lives.size(self._workdir) / self._size)
    if kind in ("kill", "phase", "term", "term twice", "int twice"):
      self._see("steps_lost", lost)

  def _see(self, name, value):
    self.worst[name] = max(self.worst[name], value)

  def _compare(self):
    """Compare a run that has ended with the one that was left alone."""
    equal = lives.outcome(self._workdir) == self._expected
    self.figures["runs_equal" if equal else "runs_unequal"] += 1
    partial = list(self._workdir.rglob("*.partial"))
    assert not partial, partial
    if not equal:
      self._workdir.rename(self._root / f"unequal{self.figures['lives']}")
      return
    shutil.rmtree(self._workdir)
    self._alone = self._undisturbed(self._workdir)  # The machine's pace may change.
    shutil.rmtree(self._workdir)

  def report(self):
    """All figures, as a dictionary."""
    third = max(1, len(self.memory) // 3)
    mib = [round(x / 1024, 1) for x in self.memory]
    return self.figures | {
      "seconds_of_a_start_left_alone": round(self._alone.seconds, 1),
      "worst": dict(self.worst),
      "memory_mib_first_third": float(np.mean(mib[:third])),
      "memory_mib_last_third": float(np.mean(mib[-third:])),
      "memory_mib_largest": max(mib),
      "counts": dict(sorted(self.counts.items())),
    }


def main():
  """Soak for a while; exits with 1 where a run ended otherwise than it should."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--minutes", type=float, default=30)
  parser.add_argument("--kills", type=int, default=10**9, help="enough of them")
  parser.add_argument("--steps", type=int, default=300)
  parser.add_argument("--faults", default=",".join(KINDS))
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--say_every", type=int, default=20, help="lives")
  options = parser.parse_args()
  begun = time.monotonic()
  with lives.place() as root:
    soak = Soak(root, options.steps, options.faults.split(","), options.seed)
    while (
      time.monotonic() - begun < 60 * options.minutes
      and soak.figures["killed"] < options.kills
    ):
      soak.go_on()
      if soak.figures["lives"] % options.say_every == 0:
        print(json.dumps(soak.report()), flush=True)
  print(json.dumps(soak.report(), indent=2))
  return int(soak.figures["runs_unequal"] > 0)


if __name__ == "__main__":
  sys.exit(main())
