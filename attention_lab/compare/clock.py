"""The number of the cell that runs, and the time that is left of a comparison."""

import time
from collections.abc import Sequence

from attention_lab.compare import cells
from attention_lab.compare.launch import Job
from attention_lab.training.forecast import duration


class Clock:
  """Counts cells and estimates the time that is left.

  Args:
    total: number of cells.
    done: number of those that had finished at the start.
    at_once: number of jobs that run at a time.
  """

  def __init__(self, total: int, done: int, at_once: int):
    self._total, self._at_once = total, at_once
    self._begun = done  # Cells that have finished or begun.
    self._since: dict[str, float] = {}  # When each running job began, by its log.
    self._seconds: list[float] = []  # Of each cell that has finished since the start.
    self.count = ""  # "cell 4 of 18", of the last job that began.

  def started(self, job: Job) -> str:
    """Note the start of a job; return `count`."""
    first = self._begun + 1
    self._begun += len(job.cells)
    self._since[str(job.log)] = time.monotonic()
    cell = (
      f"cell {first}" if first == self._begun else f"cells {first} to {self._begun}"
    )
    self.count = f"{cell} of {self._total}"
    return self.count

  def ended(self, job: Job) -> None:
    """Note the end of a job; the time of one that failed tells nothing of the others."""
    seconds = time.monotonic() - self._since.pop(str(job.log))
    if job.done:
      self._seconds += [seconds / len(job.cells)] * len(job.cells)

  def left(self, running: Sequence[Job]) -> str:
    """Return the time that is left, such as "about 3:10 left", or "" if it is unknown.

    Args:
      running: the jobs that run.
    """
    seconds = self._seconds or list(filter(None, map(self._whole, running)))
    if not seconds or (self._begun == self._total and not self._since):
      return ""
    mean, now = sum(seconds) / len(seconds), time.monotonic()
    rest = [max(mean - (now - since), 0.0) for since in self._since.values()]
    work = (self._total - self._begun) * mean + sum(rest)
    return f"about {duration(max([work / self._at_once, *rest]))} left"

  def _whole(self, job: Job) -> float | None:
    """Return the seconds that a running job takes as a whole; None before its steps."""
    steps = [record["step"] for record in cells.curve(job.cells[0])]
    if not steps or not steps[-1]:
      return None
    elapsed = time.monotonic() - self._since[str(job.log)]
    return float(elapsed * job.steps / steps[-1])
