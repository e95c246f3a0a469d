"""Progress of a running comparison: a table on a terminal, otherwise plain lines."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from attention_lab.compare import cells
from attention_lab.compare.analysis.measures import is_checked, number
from attention_lab.compare.clock import Clock, duration
from attention_lab.compare.launch import Job
from attention_lab.compare.plan import Plan, Planned

EVERY = 2.0  # Seconds between two updates of the table.
HEADINGS = ("row", "seeds", "step", "loss", "time left")


class Progress:
  """A context manager that displays the progress of each row while the cells run."""

  def __init__(self, plan: Plan, console: Console, at_once: int):
    self._plan = plan
    self._console = console
    self._live = Live(console=console, auto_refresh=False)
    self._updated = 0.0
    self._first: dict[str, tuple[float, int]] = {}  # First time and step, by cell.
    total = len(plan.rows) * len(plan.seeds)
    self._clock = Clock(total, total - sum(map(plan.left, plan.rows)), at_once)

  def __enter__(self) -> "Progress":
    if self._console.is_terminal:
      self._live.start()
    return self

  def __exit__(self, *error: object) -> None:
    self._live.stop()

  def line(self, text: str) -> None:
    """Print a line, above the table if there is one."""
    self._console.print(text, markup=False)

  def started(self, job: Job) -> None:
    """Print that a job has started."""
    count = self._clock.started(job)
    seeds = ", ".join(map(str, job.seeds))
    seeds = f"seed{'s' * (len(job.seeds) > 1)} {seeds}"
    self.line(f"{count}: {job.row}, {seeds}: started; log: {job.log}")

  def ended(self, job: Job) -> None:
    """Print how each run of a job has ended."""
    self._clock.ended(job)
    for seed, cell in zip(job.seeds, job.cells, strict=True):
      if error := cells.failure(cell):
        outcome = f"failed: {error}"
      else:
        outcome = f"finished: {_result(cells.summary(cell))}"
      self.line(f"{job.row}, seed {seed}: {outcome}")
    if left := self._clock.left(()):
      self.line(left)

  def tick(self, running: Sequence[Job]) -> None:
    """Update the table, at most once every `EVERY` seconds."""
    if not self._console.is_terminal or time.monotonic() - self._updated < EVERY:
      return
    self._updated = time.monotonic()
    title = ", ".join(filter(None, [self._clock.count, self._clock.left(running)]))
    table = Table(box=None, title=title, title_justify="left")
    for heading in HEADINGS:
      table.add_column(heading, justify="left" if heading == "row" else "right")
    for row in self._plan.rows:
      table.add_row(row.name, *self._columns(row, running))
    self._live.update(table, refresh=True)

  def _columns(self, row: Planned, running: Sequence[Job]) -> tuple[str, str, str, str]:
    """Return the finished seeds, step, loss and time left of a row."""
    plan = self._plan
    done = len(plan.seeds) - plan.left(row)
    seeds = f"{done}/{len(plan.seeds)}"
    active = [job.cells[0] for job in running if job.row == row.name]
    failed = any(cells.failure(plan.cell(row, seed)) for seed in plan.seeds)
    if not active:
      return seeds, "failed" if failed else "", "", ""
    records = [
      r for r in cells.curve(active[0]) if r.get("split") == "train" and "loss" in r
    ]
    if not records:
      return seeds, "starting", "", ""
    step, loss = records[-1]["step"], records[-1]["loss"]
    now = time.monotonic()
    since, first = self._first.setdefault(str(active[0]), (now, step))
    left = ""
    if step > first:
      left = duration((plan.steps - step) * (now - since) / (step - first))
    return seeds, f"{step}/{plan.steps}", f"{float(loss):.4f}", left


def _result(summary: Mapping[str, Any]) -> str:
  """Return the metrics of a finished run as text, as far as the report has them."""
  if not is_checked(summary):
    return "no loss is reported, because the leak check was not passed"
  metrics = {name: number(value) for name, value in summary["validation"].items()}
  return "validation " + ", ".join(f"{name} {v:.4f}" for name, v in metrics.items())
