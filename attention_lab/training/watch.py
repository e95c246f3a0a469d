"""Watches long work between two steps: shows its progress and answers signals."""

from collections.abc import Callable

from attention_lab.training.listener import Listener, OnBatch


class Interrupted(Exception):
  """A signal asks the run to end; nothing of the current work was recorded.

  Args:
    signal: number of the signal.
  """

  def __init__(self, signal: int):
    super().__init__(signal)
    self.signal = signal


class Watch:
  """Shows the progress of long work, and ends it after a signal.

  Args:
    show: shows the progress.
    signal: () → the signal that any process received, the same on all processes; 0 for
      none. All processes call it equally often.
    count: number of processes.
  """

  def __init__(self, show: Listener, signal: Callable[[], int], count: int):
    self._show, self._signal, self._count = show, signal, count

  def check(self) -> None:
    """Raise `Interrupted` after a signal; called by all processes."""
    if number := self._signal():
      raise Interrupted(number)

  def of(self, what: str) -> OnBatch:
    """Return what follows the batches of work that all processes do."""
    show = self._show.batches(what)

    def on_batch(done: int, total: int) -> None:
      show(done, total)
      self.check()

    return on_batch

  def of_first(self, what: str) -> OnBatch:
    """Return what follows the batches of work that the first process alone does.

    It answers signals only if there is no other process, which would wait for it.
    """
    if self._count == 1:
      return self.of(what)
    return self._show.batches(what)
