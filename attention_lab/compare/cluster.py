"""Runs the cells of a comparison on a Slurm cluster, as an array, through submitit."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import config_dict

from attention_lab.compare.launch import Job, Show, note, start
from attention_lab.errors import UserError
from attention_lab.system.signals import Interrupt

POLL = 2.0  # Seconds between two questions to the cluster.


def run_there(
  todo: Sequence[Job],
  workdir: Path,
  slurm: config_dict.ConfigDict,
  show: Show,
  cluster: str = "slurm",
) -> int | None:
  """Submits jobs as one array and waits for them, as `launch.run_here` does.

  A signal cancels what has not ended: Slurm ends the runs with SIGTERM, so they save.

  Args:
    todo: what to run.
    workdir: where submitit keeps its files, seen by all machines.
    slurm: what one job is given.
    show: is told what happens.
    cluster: submitit's name for where jobs go.

  Returns:
    The signal that ended it, or None.

  Raises:
    UserError: submitit is missing, or there is no such cluster here.
  """
  executor = _executor(workdir / "slurm", slurm, cluster)
  jobs = list(todo)
  try:
    tasks = executor.map_array(run_job, jobs)
  except (RuntimeError, OSError) as error:  # submitit's own are RuntimeErrors.
    raise UserError(
      f"Slurm takes none of these jobs: {error}. --config.compare.slurm.gpus, .cpus, "
      f".memory_gb, .minutes and .partition say what each asks for."
    ) from None
  waiting = dict(enumerate(tasks))
  for job in jobs:
    show.started(job)
  with Interrupt() as interrupt:
    while waiting and not interrupt.signal:
      for index, task in list(waiting.items()):
        if task.done():
          del waiting[index]
          _note(jobs[index], task)
          show.ended(jobs[index])
      show.tick([jobs[index] for index in waiting])
      if waiting:
        time.sleep(POLL)
    for task in waiting.values():
      task.cancel()
  return interrupt.signal


def run_job(job: Job) -> int:
  """Runs a job where the cluster has put it; returns its exit status."""
  process = start(job, os.environ, wait=True)
  assert process is not None  # It has waited.
  return process.wait()


def _note(job: Job, task: Any) -> None:
  """Writes how a job ended; one that the cluster ended has no status."""
  failed = task.exception()
  if failed is None:
    note(job, task.result())
  else:
    note(job, 1)


def _executor(folder: Path, slurm: config_dict.ConfigDict, cluster: str) -> Any:
  try:
    import submitit
  except ImportError:
    raise UserError(
      "--launcher=slurm needs submitit: pip install submitit, or the extra [compare] of "
      "this library."
    ) from None
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
