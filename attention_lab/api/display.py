"""Progress bars on a terminal and in notebooks."""

import html
import math
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from attention_lab.training.listener import OnBatch
from attention_lab.training.progress import figures_text, left_text


class Display(Protocol):
  """Shows how much is done."""

  def show(self, done: int, total: int, text: str) -> None:
    """Show how much of the total is done, and a line about the current work."""

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


class Nothing:
  """Shows nothing."""

  def show(self, done: int, total: int, text: str) -> None:
    """Show nothing."""

  def close(self) -> None:
    """Remove nothing."""


def new_display(shown: bool) -> Display:
  """Return a bar on the terminal or in the notebook of standard output, if any.

  Args:
    shown: whether to show anything.
  """
  if not shown:
    return Nothing()
  # The file, because runs redirect standard output.
  console = Console(file=sys.stdout, highlight=False, emoji=False)
  return Notebook() if console.is_jupyter else Terminal(console)


class BarListener:
  """Listener of training and of evaluations that shows a bar, and prints no lines.

  Args:
    step: steps taken.
    steps: the last step; 0 for evaluations alone.
    quiet: whether another process shows the same.
    shown: whether to show anything.
  """

  prints = False

  def __init__(
    self, step: int = 0, steps: int = 0, quiet: bool = False, shown: bool = True
  ):
    self._step, self._steps, self._text = step, steps, ""
    self._display = new_display(shown and not quiet)
    self._moved = -math.inf  # The time.

  def step(self, step: int) -> None:
    """Move the bar."""
    self._step = step
    if self._is_due(step, self._steps):
      self._show()

  def batches(self, what: str) -> OnBatch:
    """Return a function that shows the batches of an evaluation."""

    def on_batch(done: int, total: int) -> None:
      # While training, the bar is that of training.
      if not self._steps and self._is_due(done, total):
        self._display.show(done, total, what)

    return on_batch

  def figures(
    self,
    step: int,
    split: str,
    values: Mapping[str, Any],
    seconds_left: float | None = None,
  ) -> None:
    """Show the latest metrics beside the bar."""
    self._text = f"{split}: {figures_text(values)}"
    if seconds_left is not None:
      self._text += f"  {left_text(seconds_left)}"
    self._show()

  def line(self, text: str) -> None:
    """Print nothing."""

  def close(self) -> None:
    """Remove the bar."""
    self._display.close()

  def _is_due(self, done: int, total: int) -> bool:
    """Return whether to move the bar: ten times per second, and to its end."""
    now = time.monotonic()
    if done < total and now < self._moved + 0.1:
      return False
    self._moved = now
    return True

  def _show(self) -> None:
    text = f"step {self._step:,} of {self._steps:,}  {self._text}"
    self._display.show(self._step, self._steps, text)
