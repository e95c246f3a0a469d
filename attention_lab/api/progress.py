"""Progress of a comparison in this process: a bar on a terminal or in a notebook."""

import html
import sys
from collections.abc import Sequence
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from attention_lab.compare.clock import Clock
from attention_lab.compare.launch import Job
from attention_lab.compare.plan import Plan


class Display(Protocol):
  """Shows how much is done."""

  def show(self, done: int, total: int, text: str) -> None:
    """Show the number of cells that have ended, and a line about the current one."""

  def close(self) -> None:
    """Remove what is shown."""


class Terminal:
  """A bar on a terminal; nothing on other standard output.

  Args:
    console: the terminal.
  """

  def __init__(self, console: Console):
    self._bar = Progress(
      TextColumn("{task.description}"),
      BarColumn(),
      TimeElapsedColumn(),
      console=console,
      transient=True,
      redirect_stdout=False,
      redirect_stderr=False,
      disable=not console.is_terminal,
    )
    self._task = self._bar.add_task("", total=None)
    self._bar.start()

  def show(self, done: int, total: int, text: str) -> None:
    """Move the bar."""
    self._bar.update(
      self._task, completed=done, total=total, description=text, refresh=True
    )

  def close(self) -> None:
    """Remove the bar."""
    self._bar.stop()


class Notebook:
  """A bar in the output of a notebook's cell."""

  def __init__(self) -> None:
    from IPython import display

    self._display = display
    self._handle: Any = display.display(display.HTML(""), display_id=True)

  def show(self, done: int, total: int, text: str) -> None:
    """Move the bar."""
    bar = f'<progress value="{done}" max="{total}"></progress> {html.escape(text)}'
    self._handle.update(self._display.HTML(bar))

  def close(self) -> None:
    """Remove the bar."""
    self._handle.update(self._display.HTML(""))


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
    self._display: Display | None = None

  def __enter__(self) -> "Bar":
    if self._shown:  # The file, because runs redirect standard output.
      console = Console(file=sys.stdout, highlight=False, emoji=False)
      self._display = Notebook() if console.is_jupyter else Terminal(console)
    return self

  def __exit__(self, *error: object) -> None:
    if self._display is not None:
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
    if self._display is not None:
      self._display.show(self._done, self._total, text)
