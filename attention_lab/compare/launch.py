"""Runs the cells of a comparison here, some at a time, each a process of its own."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import jax
from ml_collections import config_dict

from attention_lab.benchmark.utilisation import flops_per_step
from attention_lab.compare import cells, grid
from attention_lab.compare.plan import Plan, Planned, with_seed
from attention_lab.system import lock as locks
from attention_lab.system.signals import Interrupt
from attention_lab.training.seeds import side_by_side_pays

POLL = 0.25  # Seconds between two looks at the processes.


class Job(NamedTuple):
  """One process: a run, or the runs of one row side by side."""

  row: str
  seeds: Sequence[int]
  cells: Sequence[Path]
  steps: int
  command: Sequence[str]
  log: Path

  @property
  def done(self) -> bool:
    """Whether all its cells have run to their end."""
    return all(cells.finished(cell, self.steps) for cell in self.cells)


class Show(Protocol):
  """Who is told what happens."""

  def started(self, job: Job) -> None:
    """A process has begun."""

  def ended(self, job: Job) -> None:
    """A process has ended; its cells' folders say how."""

  def tick(self, running: Sequence[Job]) -> None:
    """Time has passed."""


def jobs(plan: Plan, config: config_dict.ConfigDict) -> list[Job]:
  """What is left to run, seed by seed, so that all rows can be compared early; seeds that
  share a program come first."""
  found, alone = [], []
  for row in plan.rows:
    if _shares(plan, row, config.compare):
      found.append(_together(plan, row))
    else:
      alone.append(row)
  found += [_alone(plan, row, seed) for seed in plan.seeds for row in alone]
  return [job for job in found if not job.done]


def _shares(plan: Plan, row: Planned, compare: config_dict.ConfigDict) -> bool:
  """Whether a row's seeds are trained side by side in one program."""
  begun = any(plan.finished(row, seed) for seed in plan.seeds)
  if begun or len(plan.seeds) == 1 or compare.vmap_seeds == "never":
    return False  # Those that have finished would be in the way of the others.
  if row.config.train.on_nonfinite != "stop":
    return False  # A step is left out of one seed and not of the others.
  if compare.vmap_seeds == "always":
    return True
  there = compare.launcher == "slurm" and compare.slurm.gpus
  platform = "gpu" if there else jax.default_backend()
  return platform != "cpu" and side_by_side_pays(flops_per_step(row.config), platform)


def _alone(plan: Plan, row: Planned, seed: int) -> Job:
  """One run."""
  cell = plan.cell(row, seed)
  return Job(
    row.name,
    (seed,),
    (cell,),
    plan.steps,
    _command(with_seed(row.config, seed), cell),
    cell.with_name(f"{cell.name}.log"),
  )


def _together(plan: Plan, row: Planned) -> Job:
  """The runs of a row, side by side in one program: --seeds of --mode=train."""
  found = [plan.cell(row, seed) for seed in plan.seeds]
  folder = found[0].parent
  command = [*_command(row.config, folder), f"--seeds={len(found)}"]
  return Job(
    row.name, tuple(plan.seeds), found, plan.steps, command, folder / "seeds.log"
  )


def _command(config: config_dict.ConfigDict, workdir: Path) -> list[str]:
  """What a user would type, but for this process's own Python."""
  start = [sys.executable, "-m", "attention_lab.main", f"--workdir={workdir}"]
  return [*start, *grid.words(config)]


def devices() -> int:
  """How many cells can run without sharing a device."""
  found = jax.local_devices()
  return 1 if found[0].platform == "cpu" else len(found)


def run_here(todo: Sequence[Job], at_once: int, show: Show) -> int | None:
  """Runs jobs, so many at a time; what one of them fails at keeps none from running.

  A signal is passed on to the runs, which save and leave.

  Args:
    todo: what to run, in this order.
    at_once: how many at a time, each on a device of its own where there are several.
    show: is told what happens.

  Returns:
    The signal that ended it, or None.
  """
  waiting, running = list(todo), dict[int, tuple[Job, subprocess.Popen]]()
  with Interrupt() as interrupt:
    try:
      while (waiting or running) and not interrupt.signal:
        for slot in sorted(set(range(at_once)) - set(running)):
          if (begun := _next(waiting, slot, at_once)) is not None:
            running[slot] = begun
            show.started(begun[0])
        time.sleep(POLL)
        for slot, (job, process) in list(running.items()):
          if (status := process.poll()) is not None:
            del running[slot]
            note(job, status)
            show.ended(job)
        show.tick([job for job, _ in running.values()])
    finally:
      for _, process in running.values():
        process.send_signal(signal.SIGTERM)
      for _, process in running.values():
        process.wait()
  return interrupt.signal


def note(job: Job, status: int) -> None:
  """Writes beside the cells of a job that did not finish why it failed."""
  for cell in job.cells:
    if cells.finished(cell, job.steps):
      cells.set_failure(cell, "")
    elif status < 0 or status > 128:
      number = -status if status < 0 else status - 128
      cells.set_failure(cell, f"ended by signal {number}; see {job.log}")
    else:
      cells.set_failure(cell, cells.last_error(job.log))


def _next(
  waiting: list[Job], slot: int, at_once: int
) -> tuple[Job, subprocess.Popen] | None:
  """Starts the first job that nobody else runs, and takes it off the list."""
  for job in list(waiting):
    process = start(job, _environment(slot, at_once))
    if process is not None:
      waiting.remove(job)
      return job, process
  return None


def start(
  job: Job, environment: Mapping[str, str], wait: bool = False
) -> subprocess.Popen | None:
  """Starts a job's process, which writes to its log.

  The log is locked as long as a process has it, so what an earlier start of the
  comparison left running is waited for, and not run twice.

  Args:
    job: what to start.
    environment: of the process.
    wait: whether to wait for one that is running, else None is returned.
  """
  job.log.parent.mkdir(parents=True, exist_ok=True)
  with open(job.log, "ab") as log:
    if not locks.take(log, wait):
      return None
    if job.done:  # Since the one that was waited for has finished it.
      command: Sequence[str] = (sys.executable, "-c", "")
    else:
      command = job.command
    log.write(f"$ {shlex.join(command)}\n".encode())
    log.flush()
    for cell in job.cells:
      cells.set_failure(cell, "")
    return subprocess.Popen(
      command,
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=log,
      env=dict(environment),
      start_new_session=True,  # Ctrl-C reaches it through us alone.
    )


def _environment(slot: int, at_once: int) -> dict[str, str]:
  """Of a process: one device for each where several run at a time."""
  environment = dict(os.environ)
  environment.pop(PREALLOCATE, None)
  if at_once > 1 and jax.default_backend() == "gpu":
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",") if visible else [str(i) for i in range(devices())]
    environment["CUDA_VISIBLE_DEVICES"] = names[slot % len(names)]
  return environment


PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"


def leave_memory_to_runs() -> None:
  """Keeps this process, which plans and draws, from taking most of a GPU's memory."""
  os.environ.setdefault(PREALLOCATE, "false")
