"""Random faults of one tiny run, repeated; each run must end as an undisturbed one.

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

from tests.faults import faults, processes

KINDS = (*faults.SIGNALS, "phase", "full", "damage", "metrics", "clock", "none")


class Soak:
  """A series of runs, each resumed by many processes with random faults.

  Args:
    root: an empty folder.
    steps: steps of each run.
    kinds: kinds of faults to choose from.
    seed: seed of the faults.
  """

  def __init__(self, root, steps, kinds, seed):
    self._root, self._steps, self._kinds = root, steps, kinds
    self._rng = np.random.default_rng(seed)
    self._workdir = root / "run"
    self.counts = collections.Counter()
    self.figures = {"processes": 0, "killed": 0, "runs_equal": 0, "runs_unequal": 0}
    self.worst = collections.Counter()  # Largest value of each figure.
    self.memory = []  # Peak memory of undisturbed runs, in KiB.
    folder = root / "undisturbed"
    # The first run fills the compilation cache, and is not measured.
    assert processes.run(folder, steps).status == 0
    shutil.rmtree(folder)
    self._undisturbed = self._run_undisturbed(folder)
    self._expected = processes.outcome(folder)
    self._size = processes.size(folder)

  def _run_undisturbed(self, workdir):
    ended = processes.run(workdir, self._steps)
    assert ended.status == 0, ended.err
    self.memory.append(ended.memory)
    return ended

  def step(self):
    """Run one process with a random fault, and validate the folder after it."""
    kind = self._kinds[self._rng.integers(len(self._kinds))]
    before = self._damage(kind)
    inject, signals = self._choose(kind)
    ended = processes.run(self._workdir, self._steps, inject, signals)
    self.figures["processes"] += 1
    self.figures["killed"] += ended.status == -faults.signal.SIGKILL
    self.counts[f"{kind} → {ended.status}"] += 1
    self._check(kind, ended, before)
    if ended.status == 0:
      self._compare()

  def _damage(self, kind):
    """Damage the folder for these kinds; return the step to resume from."""
    if kind == "damage" and (how := faults.damage_newest(self._workdir, self._rng)):
      self.counts[f"damage: {how}"] += 1
    if kind == "metrics":
      faults.damage_metrics(self._workdir, self._rng)
    return processes.saved_step(self._workdir)

  def _choose(self, kind):
    """Return the function that injects the fault, and the signals of one process."""
    rng, inject, signals = self._rng, lambda: None, ()
    if kind == "phase":
      phase = faults.PHASES[rng.integers(len(faults.PHASES))]
      self.counts[f"phase: {phase}"] += 1
      inject = faults.die_in(phase, int(rng.integers(1, 30)))
    elif kind == "full":
      smallest = 400  # The error message has to fit.
      limit = np.exp(rng.uniform(np.log(smallest), np.log(60_000)))
      inject = faults.full_disk(int(limit))
    elif kind == "clock":
      inject = faults.jumping_clock(rng)
    if kind in faults.SIGNALS:
      numbers = faults.SIGNALS[kind]
      delays = [rng.uniform(0, self._undisturbed.seconds), *rng.uniform(0, 0.2, 1)]
      signals = list(zip(delays, numbers, strict=False))
    elif kind not in ("phase", "full"):
      # A kill before the end, so that another process has to resume the run.
      delay = rng.uniform(0.3, 1) * self._undisturbed.seconds
      signals = [(delay, faults.signal.SIGKILL)]
    return inject, signals

  def _check(self, kind, ended, before):
    """Assert that the messages are right and that no more than allowed was lost."""
    report = f"{kind}, status {ended.status}\n{ended.out}\n{ended.err}"
    assert "Traceback" not in ended.err, report
    assert ended.status in (0, 2, 129, 130, 138, 140, 143, -2, -9, -15), report
    if ended.status == 2:
      assert kind == "full", report
      assert ended.err.count("error: ") == 1, report
    if "Resuming at step" in ended.out:
      assert f"Resuming at step {before} in" in ended.out, f"{before}, {report}"
    else:
      assert before == 0 or "New run in" not in ended.out, f"{before}, {report}"
    saved = processes.saved_step(self._workdir)
    assert saved >= before, report
    checkpoints = processes.checkpoints(self._workdir)
    if kind != "damage":
      assert sum(not valid for valid in checkpoints.values()) <= 1
    lost = processes.reached_step(self._workdir) - saved
    if ended.status > 128:  # A signal: the last step was saved.
      assert lost == 0, report
    assert len(checkpoints) <= processes.KEEP + 2, report
    assert kind in ("damage", "full") or lost <= 2 * processes.EVERY, report
    self._record("checkpoints", len(checkpoints))
    self._record("handles", ended.handles)
    self._record("bytes_over_undisturbed", processes.size(self._workdir) / self._size)
    if kind in (*faults.SIGNALS, "phase"):
      self._record("steps_lost", lost)

  def _record(self, name, value):
    """Update the largest value of a figure."""
    self.worst[name] = max(self.worst[name], value)

  def _compare(self):
    """Compare a run that has reached its end with the undisturbed one."""
    equal = processes.outcome(self._workdir) == self._expected
    self.figures["runs_equal" if equal else "runs_unequal"] += 1
    partial = list(self._workdir.rglob("*.partial"))
    assert not partial, partial
    if not equal:
      self._workdir.rename(self._root / f"unequal{self.figures['processes']}")
      return
    shutil.rmtree(self._workdir)
    # Measured again, since the speed of the machine may change.
    self._undisturbed = self._run_undisturbed(self._workdir)
    shutil.rmtree(self._workdir)

  def report(self):
    """Return all figures."""
    third = max(1, len(self.memory) // 3)
    mib = [round(x / 1024, 1) for x in self.memory]
    return self.figures | {
      "seconds_undisturbed": round(self._undisturbed.seconds, 1),
      "worst": dict(self.worst),
      "memory_mib_first_third": float(np.mean(mib[:third])),
      "memory_mib_last_third": float(np.mean(mib[-third:])),
      "memory_mib_largest": max(mib),
      "counts": dict(sorted(self.counts.items())),
    }


def main():
  """Run the soak test; return 1 if the outcome of a run differs, else 0."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--minutes", type=float, default=30)
  parser.add_argument(
    "--kills", type=int, default=10**9, help="stop after this many kills"
  )
  parser.add_argument("--steps", type=int, default=300)
  parser.add_argument("--faults", default=",".join(KINDS))
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument(
    "--say_every", type=int, default=20, help="processes between two reports"
  )
  options = parser.parse_args()
  start = time.monotonic()
  with processes.environment() as root:
    soak = Soak(root, options.steps, options.faults.split(","), options.seed)
    while (
      time.monotonic() - start < 60 * options.minutes
      and soak.figures["killed"] < options.kills
    ):
      soak.step()
      if soak.figures["processes"] % options.say_every == 0:
        print(json.dumps(soak.report()), flush=True)
  print(json.dumps(soak.report(), indent=2))
  return int(soak.figures["runs_unequal"] > 0)


if __name__ == "__main__":
  sys.exit(main())
