"""Running the cells of a comparison as processes of this machine, several at a time."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TextIO

import jax

from attention_lab.compare import cells, grid
from attention_lab.compare.plan import Plan, Planned
from attention_lab.config import Config
from attention_lab.run.code import named
from attention_lab.system import lock as locks
from attention_lab.system.files import writing
from attention_lab.system.regular import no_follow
from attention_lab.system.signals import Interrupt
from attention_lab.training.preflight import training_flops, with_seed
from attention_lab.training.seeds import side_by_side_pays

POLL = 0.25  # Seconds between two checks of the processes.
PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"


class Job(NamedTuple):
  """A process that trains one run, or all runs of a row side by side."""

  row: str
  seeds: Sequence[int]
  cells: Sequence[Path]
  steps: int
  command: Sequence[str]
  log: Path
  origin: cells.Origin | None = None  # Its code and data; None if they are not known.
  keep: bool = False  # Whether results of other code or data count as finished.
  config: Config | None = None  # Of the command; None for another command.

  @property
  def workdir(self) -> Path:
    """The folder of the run, or of the runs' folders."""
    return self.cells[0] if len(self.cells) == 1 else self.cells[0].parent

  @property
  def done(self) -> bool:
    """Return whether all runs of the job have finished."""
    return all(self.finished(cell) for cell in self.cells)

  def finished(self, cell: Path) -> bool:
    """Return whether one run of the job has finished."""
    return cells.finished(cell, self.steps, None if self.keep else self.origin)

  def set_stale_aside(self) -> None:
    """Move runs away that began with other code or data; the job's log is locked."""
    for cell in self.cells:
      if self.origin is not None and cells.changed(cell, self.origin):
        cells.set_aside(cell)


class Listener(Protocol):
  """Receiver of the progress of jobs."""

  def started(self, job: Job) -> None:
    """Handle the start of a job's process."""

  def ended(self, job: Job) -> None:
    """Handle the end of a job's process, whose outcome has been recorded."""

  def tick(self, running: Sequence[Job]) -> None:
    """Update the display; called after every check of the processes."""


def jobs(plan: Plan, config: Config) -> list[Job]:
  """Return the unfinished jobs in the order in which they should run.

  Rows whose seeds share a program come first. The other runs are ordered by seed, so
  that all rows can be compared early.
  """
  together, separate = [], []
  for row in plan.rows:
    if _trains_seeds_together(plan, row, config.compare):
      together.append(_all_seeds(plan, row))
    else:
      separate.append(row)
  single = [_single_seed(plan, row, seed) for seed in plan.seeds for row in separate]
  return [job for job in together + single if not job.done]


def _trains_seeds_together(plan: Plan, row: Planned, compare: Config) -> bool:
  """Return whether all seeds of a row are trained side by side in one program."""
  started = any(plan.finished(row, seed) for seed in plan.seeds)
  if started or len(plan.seeds) == 1 or compare.vmap_seeds == "never":
    return False  # One program would train the finished seeds again.
  if row.config.train.on_nonfinite != "stop":
    return False  # Seeds would have to skip different steps.
  if compare.vmap_seeds == "always":
    return True
  on_gpus = compare.launcher == "slurm" and compare.slurm.gpus
  platform = "gpu" if on_gpus else jax.default_backend()
  return platform != "cpu" and side_by_side_pays(training_flops(row.config), platform)


def _single_seed(plan: Plan, row: Planned, seed: int) -> Job:
  """Return the job that trains one seed of a row."""
  cell, config = plan.cell(row, seed), with_seed(row.config, seed)
  return Job(
    row.name,
    (seed,),
    (cell,),
    plan.steps,
    _command(config, cell),
    cell.with_name(f"{cell.name}.log"),
    row.origin,
    plan.keep,
    config,
  )


def _all_seeds(plan: Plan, row: Planned) -> Job:
  """Return the job that trains all seeds of a row, with --seeds of --mode=train."""
  folders = [plan.cell(row, seed) for seed in plan.seeds]
  parent = folders[0].parent
  config = row.config.copy_and_resolve_references()
  config.seeds = len(folders)
  command = [*_command(config, parent), f"--seeds={config.seeds}"]
  return Job(
    row.name,
    tuple(plan.seeds),
    folders,
    plan.steps,
    command,
    parent / "seeds.log",
    row.origin,
    plan.keep,
    config,
  )


def _command(config: Config, workdir: Path) -> list[str]:
  """Return the command line that trains a configuration with this Python."""
  start = [sys.executable, "-m", "attention_lab.main", f"--workdir={workdir}"]
  return [*start, *grid.words(config)]


def devices() -> int:
  """Return the number of cells that can run at once without sharing a device."""
  found = jax.local_devices()
  return 1 if found[0].platform == "cpu" else len(found)


def run_locally(jobs: Sequence[Job], at_once: int, listener: Listener) -> int | None:
  """Run jobs, at most `at_once` at a time. One failure does not stop the others.

  A signal is passed on to the runs, which save a checkpoint and exit; Ctrl-C as SIGTERM.

  Args:
    jobs: the jobs, in the order in which they start.
    at_once: number of simultaneous jobs; on GPUs each gets its own device.
    listener: receives the progress.

  Returns:
    The number of the signal that interrupted the jobs, or None.
  """
  waiting, running = list(jobs), dict[int, tuple[Job, subprocess.Popen]]()
  with Interrupt() as interrupt:
    try:
      while (waiting or running) and not interrupt.signal:
        for slot in sorted(set(range(at_once)) - set(running)):
          if (started := _start_next(waiting, slot, at_once)) is not None:
            running[slot] = started
            listener.started(started[0])
        time.sleep(POLL)
        for slot, (job, process) in list(running.items()):
          if (status := process.poll()) is not None:
            del running[slot]
            record_outcome(job, status)
            listener.ended(job)
        listener.tick([job for job, _ in running.values()])
    finally:
      number = interrupt.signal or signal.SIGTERM
      if number == signal.SIGINT:
        number = signal.SIGTERM
      for _, process in running.values():
        process.send_signal(number)
      for _, process in running.values():
        process.wait()
  return interrupt.signal


def record_outcome(job: Job, status: int) -> None:
  """Store for each cell of an ended job why it failed, or that it did not.

  Args:
    job: the job.
    status: the exit status of its process; negative for a signal.
  """
  for cell in job.cells:
    if job.finished(cell):
      cells.set_failure(cell, "")
    elif job.origin and (changed := cells.changed(cell, job.origin)):
      cells.set_failure(
        cell,
        f"{named(changed)} changed while the comparison ran: repeat the command",
      )
    elif status < 0 or status > 128:
      number = -status if status < 0 else status - 128
      cells.set_failure(cell, f"ended by signal {number}; log: {job.log}")
    else:
      cells.set_failure(cell, cells.last_error(job.log))


def _start_next(
  waiting: list[Job], slot: int, at_once: int
) -> tuple[Job, subprocess.Popen] | None:
  """Start the first job that no other process runs, and remove it from `waiting`."""
  for job in list(waiting):
    process = start(job, _environment(slot, at_once))
    if process is not None:
      waiting.remove(job)
      return job, process
  return None


def start(
  job: Job, environment: Mapping[str, str], wait: bool = False
) -> subprocess.Popen | None:
  """Start a job's process, which writes to the job's log.

  The process holds a lock on the log. A job that an earlier comparison left running is
  therefore not run twice.

  Args:
    job: the job to start.
    environment: environment variables of the process.
    wait: whether to wait until the log is unlocked.

  Returns:
    The process; None if the log is locked and `wait` is false.
  """
  with opened(job) as log:
    if not locks.take(log, wait):
      return None
    if job.done:  # The process that held the lock has finished it.
      command: Sequence[str] = (sys.executable, "-c", "")
    else:
      command = job.command
      job.set_stale_aside()
    begin(job, log, command)
    return subprocess.Popen(
      command,
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=log,
      env=dict(environment),
      start_new_session=True,  # `run_locally` alone passes Ctrl-C on.
    )


def opened(job: Job) -> TextIO:
  """Return the log of a job, to be appended to."""
  job.log.parent.mkdir(parents=True, exist_ok=True)
  with writing(job.log):
    return open(job.log, "a", encoding="utf-8", opener=no_follow)


def begin(job: Job, log: TextIO, command: Sequence[str]) -> None:
  """Write a job's command to its log, which is locked, and forget an earlier failure."""
  print(f"$ {shlex.join(command)}", file=log, flush=True)
  for cell in job.cells:
    cells.set_failure(cell, "")


def _environment(slot: int, at_once: int) -> dict[str, str]:
  """Return the environment of a process, with its own GPU if several run at once."""
  environment = dict(os.environ)
  environment.pop(PREALLOCATE, None)
  if at_once > 1 and jax.default_backend() == "gpu":
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",") if visible else [str(i) for i in range(devices())]
    environment["CUDA_VISIBLE_DEVICES"] = names[slot % len(names)]
  return environment


def disable_preallocation() -> None:
  """Leave GPU memory to the runs: this process only plans and draws figures."""
  os.environ.setdefault(PREALLOCATE, "false")
