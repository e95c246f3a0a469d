"""Running the cells of a comparison as a Slurm job array, through submitit."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attention_lab.compare.launch import Job, Listener, record_outcome, start
from attention_lab.config import Config
from attention_lab.errors import UserError, not_installed
from attention_lab.system.signals import Interrupt

POLL = 2.0  # Seconds between two requests for the jobs' states.


def run_on_slurm(
  jobs: Sequence[Job],
  workdir: Path,
  slurm: Config,
  listener: Listener,
  cluster: str = "slurm",
) -> int | None:
  """Submit jobs as one array and wait for them; like `launch.run_locally`.

  A signal cancels the unfinished jobs. Slurm ends their runs with SIGTERM, upon which
  they save a checkpoint.

  Args:
    jobs: the jobs to run.
    workdir: folder for submitit's files, on a file system that all machines share.
    slurm: the resources of one job.
    listener: receives the progress.
    cluster: submitit's name for the kind of cluster.

  Returns:
    The number of the signal that interrupted the jobs, or None.

  Raises:
    UserError: submitit is not installed, or there is no such cluster on this machine.
  """
  executor = _executor(workdir / "slurm", slurm, cluster)
  try:
    tasks = executor.map_array(run_job, list(jobs))
  except (RuntimeError, OSError) as error:  # submitit's own are RuntimeErrors.
    raise UserError(
      f"Slurm accepted none of the jobs: {error}. Each job's resources are set by "
      f"--config.compare.slurm.gpus, .cpus, .memory_gb, .minutes and .partition."
    ) from None
  waiting = dict(enumerate(tasks))
  for job in jobs:
    listener.started(job)
  with Interrupt() as interrupt:
    while waiting and not interrupt.signal:
      for index, task in list(waiting.items()):
        if task.done():
          del waiting[index]
          _record(jobs[index], task)
          listener.ended(jobs[index])
      listener.tick([jobs[index] for index in waiting])
      if waiting:
        time.sleep(POLL)
    for task in waiting.values():
      task.cancel()
  return interrupt.signal


def run_job(job: Job) -> int:
  """Run a job on the machine that the cluster chose; return its exit status."""
  process = start(job, os.environ, wait=True)
  assert process is not None  # Guaranteed by `wait`.
  return process.wait()


def _record(job: Job, task: Any) -> None:
  """Record how a job ended; a task that the cluster ended has no exit status."""
  record_outcome(job, task.result() if task.exception() is None else 1)


def _executor(folder: Path, slurm: Config, cluster: str) -> Any:
  try:
    import submitit
  except ImportError:
    raise not_installed("--launcher=slurm", "compare", "submitit") from None
  try:
    executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
  except (RuntimeError, ValueError) as error:
    raise UserError(f"--launcher=slurm: {error}. Use --launcher=local.") from None
  executor.update_parameters(
    timeout_min=slurm.minutes,
    cpus_per_task=slurm.cpus,
    gpus_per_node=slurm.gpus,
    mem_gb=slurm.memory_gb,
    name="attention_lab",
  )
  if slurm.partition:
    executor.update_parameters(slurm_partition=slurm.partition)
  return executor
