"""The interface through which a training loop shows its progress."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

# (batches done, batches in all), called after each batch.
OnBatch = Callable[[int, int], None]


class Listener(Protocol):
  """Shows the progress of training or of evaluations: a terminal, a notebook, nothing."""

  @property
  def prints(self) -> bool:
    """Whether `line` prints: a sample at the end of training is made only then."""

  def step(self, step: int) -> None:
    """Show the number of steps taken."""

  def batches(self, what: str) -> OnBatch:
    """Return a function that shows the progress of an evaluation."""

  def figures(
    self,
    step: int,
    split: str,
    values: Mapping[str, Any],
    seconds_left: float | None = None,
  ) -> None:
    """Show metrics of a split."""

  def line(self, text: str) -> None:
    """Show a line."""

  def close(self) -> None:
    """Remove what is shown."""


# (steps taken, last step, whether another process shows the same) → listener.
Listen = Callable[[int, int, bool], Listener]
