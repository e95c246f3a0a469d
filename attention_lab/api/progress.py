"""Progress of a comparison in this process: a bar on a terminal or in a notebook."""

from collections.abc import Sequence

from attention_lab.api.display import Display, Nothing, new_display
from attention_lab.compare.clock import Clock
from attention_lab.compare.launch import Job
from attention_lab.compare.plan import Plan


class Bar:
  """Context manager and listener that displays the number of the cell and the time left.

  Args:
    plan: the runs.
    shown: whether to display anything.
  """

  def __init__(self, plan: Plan, shown: bool):
    self._total = len(plan.rows) * len(plan.seeds)
    self._done = self._total - sum(map(plan.left, plan.rows))
    self._clock = Clock(self._total, self._done, at_once=1)
    self._shown = shown
    self._display: Display = Nothing()

  def __enter__(self) -> "Bar":
    self._display = new_display(self._shown)
    return self

  def __exit__(self, *error: object) -> None:
    self._display.close()

  def started(self, job: Job) -> None:
    """Show the number of a job's cell, and the time that is left."""
    count, left = self._clock.started(job), self._clock.left([job])
    seeds = ", ".join(map(str, job.seeds))
    self._show(", ".join(filter(None, [count, f"{job.row}, seed {seeds}", left])))

  def ended(self, job: Job) -> None:
    """Move the bar."""
    self._clock.ended(job)
    self._done += len(job.cells)
    self._show(self._clock.count)

  def tick(self, running: Sequence[Job]) -> None:
    """Show nothing new: runs are reported when they start and end."""

  def _show(self, text: str) -> None:
    self._display.show(self._done, self._total, text)
