"""Running the cells of a comparison in this process, one after another."""

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from attention_lab.compare import launch
from attention_lab.config import Config
from attention_lab.errors import UserError, one_line, print_error
from attention_lab.plugin import mistakes
from attention_lab.system import lock as locks

# (configuration, folder) → exit status, as --mode=train.
Train = Callable[[Config, str], int]


def run_in_process(
  jobs: Sequence[launch.Job], train: Train, listener: launch.Listener
) -> int | None:
  """Run jobs one after another. One failure does not stop the others.

  What a job prints goes to its log.

  Args:
    jobs: the jobs.
    train: trains the runs of a job.
    listener: receives the progress.

  Returns:
    The number of the signal that interrupted a job, which has saved a checkpoint; None
    if all jobs have ended.
  """
  for job in jobs:
    listener.started(job)
    with launch.opened(job) as log:
      locks.take(log, wait=True)
      if not job.done:
        job.set_stale_aside()
        launch.begin(job, log, job.command)
        status = _run(job, train, log)
        if status > 128:
          return status - 128
        launch.record_outcome(job, status)
    listener.ended(job)
  return None


def _run(job: launch.Job, train: Train, log: TextIO) -> int:
  """Run a job; return its exit status. The last line of its log is its error."""
  assert job.config is not None  # `launch.jobs` gives every job one.
  with _as_process(job, log):
    try:
      return train(job.config, str(job.workdir))
    except UserError as error:
      text = str(error)
    except (Exception, SystemExit) as error:  # An attention may call sys.exit.
      traceback.print_exc()
      text = str(mistakes.behind(error) or one_line(error))
    print_error(text)
    return 1


@contextlib.contextmanager
def _as_process(job: launch.Job, log: TextIO) -> Iterator[None]:
  """Print to a job's log, and set the command that its runs record."""
  before, sys.argv = sys.argv, list(job.command[2:])
  try:
    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
      yield
  finally:
    sys.argv = before
