"""Progress of a training run: a bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import (
  BarColumn,
  MofNCompleteColumn,
  Progress,
  TaskID,
  TextColumn,
  TimeRemainingColumn,
)
from rich.table import Column

from attention_lab.system.stdout import drop_output
from attention_lab.training.listener import OnBatch


class _Console(Console):
  """A console that may be closed: one warning is printed, and nothing more."""

  def give_up(self, reason: str | None) -> None:
    self.quiet = True
    drop_output()
    print(f"warning: nothing more can be printed: {reason}.", file=sys.stderr)

  def on_broken_pipe(self) -> None:
    self.give_up("standard output was closed")


class Show:
  """Shows steps taken and the latest metrics.

  Args:
    step: steps taken so far.
    steps: the last step; 0 for no training, only evaluations.
    quiet: whether to show nothing, since another process does.
    bar: whether to show a bar on a terminal.
  """

  def __init__(
    self, step: int = 0, steps: int = 0, quiet: bool = False, bar: bool = True
  ):
    # In a notebook, rich would bypass standard output, which a log may have replaced.
    self.console = _Console(
      force_jupyter=False, highlight=False, soft_wrap=True, emoji=False, quiet=quiet
    )
    self.prints = not quiet
    self._steps = steps
    self._bar: Progress | None = None
    self._evaluation: TaskID | None = None
    if bar and self.console.is_terminal and not quiet:
      self._bar = Progress(
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=True)),
        TextColumn("left", table_column=Column(no_wrap=True)),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        console=self.console,
        expand=True,  # The bar shrinks on a narrow terminal.
      )
      if steps:
        self._task = self._bar.add_task("", total=steps, completed=step, figures="")
      self._bar.start()

  def step(self, step: int) -> None:
    """Move the bar."""
    if self._bar:
      self._bar.update(self._task, completed=step)

  def batches(self, what: str) -> OnBatch:
    """Return a function that shows a bar of an evaluation, until its last batch."""

    def on_batch(done: int, total: int) -> None:
      if not self._bar:
        return
      if self._evaluation is None:
        self._evaluation = self._bar.add_task("", total=total, figures=what)
      self._bar.update(self._evaluation, completed=done, total=total)
      if done == total:
        self._bar.remove_task(self._evaluation)
        self._evaluation = None

    return on_batch

  def figures(
    self,
    step: int,
    split: str,
    values: Mapping[str, Any],
    seconds_left: float | None = None,
  ) -> None:
    """Show metrics: those of training next to the bar, if there is one, else a line."""
    text = figures_text(values)
    if self._bar and split == "train":
      self._bar.update(self._task, figures=text)
      return
    if seconds_left is not None:
      text += f"  {left_text(seconds_left)}"
    self.line(f"step {step}/{self._steps}  {split}: {text}")

  def line(self, text: str) -> None:
    """Print a line, above the bar if there is one."""
    try:
      self.console.print(text, markup=False)
    except OSError as error:  # Training continues without a terminal.
      self.console.give_up(error.strerror)

  def close(self) -> None:
    """Remove the bar."""
    if self._bar:
      self._bar.stop()
      self._bar = None


def figures_text(values: Mapping[str, Any]) -> str:
  """Return metrics as text: "loss 1.319  accuracy 0.6426".

  Accuracies of parts of a split are left out: a table has them, at the end.
  """
  return "  ".join(
    f"{name.replace('_', ' ')} {_short(x)}"
    for name, x in values.items()
    if "accuracy/" not in name
  )


def left_text(seconds: float) -> str:
  """Return the time that is left as text: "left 1:05"."""
  return f"left {int(seconds) // 60}:{int(seconds) % 60:02d}"


def spreads(
  seeds: Sequence[Mapping[str, Any]], form: Callable[[Any], str] | None = None
) -> dict[str, str]:
  """Return metrics as text, by name: of one seed, or mean and range over several.

  The number of seeds is added to the first.
  """
  form, found = form or _short, {}
  for name in seeds[0]:
    values = [figures[name] for figures in seeds]
    found[name] = form(values[0])
    if len(values) > 1:
      over = f" over {len(values)} seeds" if len(found) == 1 else ""
      mean, low, high = map(form, (sum(values) / len(values), min(values), max(values)))
      found[name] = f"{mean} ({low}–{high}{over})"
  return found


def _short(value: Any) -> str:
  """Return a number with four digits."""
  if not isinstance(value, float):
    return str(value)
  return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
