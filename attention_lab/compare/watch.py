"""What a person sees of a comparison that runs: a table on a terminal, else plain lines."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table

from attention_lab.compare import cells
from attention_lab.compare.launch import Job
from attention_lab.compare.plan import Plan, Planned

EVERY = 2.0  # Seconds between two looks at the curves.


class Watch:
  """Shows how far each row is; to be entered while the cells run."""

  def __init__(self, plan: Plan, console: Console):
    self._plan = plan
    self._console = console
    self._live = Live(console=console, auto_refresh=False)
    self._looked = 0.0
    self._begun: dict[str, tuple[float, int]] = {}  # By cell: when, at which step.

  def __enter__(self) -> "Watch":
    if self._console.is_terminal:
      self._live.start()
    return self

  def __exit__(self, *error: object) -> None:
    self._live.stop()

  def line(self, text: str) -> None:
    """Prints a line, above the table if there is one."""
    self._console.print(text, markup=False)

  def started(self, job: Job) -> None:
    """Tells of a process that has begun."""
    self.line(f"{_named(job)}: begins; log in {job.log}")

  def ended(self, job: Job) -> None:
    """Tells how each of a job's runs has ended."""
    for seed, cell in zip(job.seeds, job.cells, strict=True):
      if error := cells.failure(cell):
        self.line(f"{job.row}, seed {seed}: failed: {error}")
      else:
        figures = cells.summary(cell)["validation"]
        told = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
        self.line(f"{job.row}, seed {seed}: {told}")

  def tick(self, running: Sequence[Job]) -> None:
    """Draws the table anew, every few seconds."""
    if not self._console.is_terminal or time.monotonic() - self._looked < EVERY:
      return
    self._looked = time.monotonic()
    table = Table(box=None, title_justify="left")
    for heading in ("row", "seeds", "step", "loss", "left"):
      table.add_column(heading, justify="left" if heading == "row" else "right")
    for row in self._plan.rows:
      table.add_row(row.name, *self._cells(row, running))
    self._live.update(table, refresh=True)

  def _cells(self, row: Planned, running: Sequence[Job]) -> tuple[str, str, str, str]:
    plan = self._plan
    done = sum(plan.finished(row, seed) for seed in plan.seeds)
    seeds = f"{done}/{len(plan.seeds)}"
    active = [job.cells[0] for job in running if job.row == row.name]
    failed = any(cells.failure(plan.cell(row, seed)) for seed in plan.seeds)
    if not active:
      return seeds, "failed" if failed else "", "", ""
    records = [r for r in cells.curve(active[0]) if r["split"] == "train"]
    if not records:
      return seeds, "begins", "", ""
    step, loss = records[-1]["step"], records[-1]["loss"]
    now = time.monotonic()
    since, first = self._begun.setdefault(str(active[0]), (now, step))
    left = ""
    if step > first:
      left = duration((plan.steps - step) * (now - since) / (step - first))
    return seeds, f"{step}/{plan.steps}", f"{float(loss):.4f}", left


def _named(job: Job) -> str:
  seeds = ", ".join(map(str, job.seeds))
  return f"{job.row}, seed{'s' * (len(job.seeds) > 1)} {seeds}"


def duration(seconds: float) -> str:
  """Seconds as a person reads them: 2:05, or 1:02:05."""
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
