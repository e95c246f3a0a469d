"""SIGTERM and Ctrl-C as a flag that the training loop looks at."""

import signal
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
  """While entered, the first signal is remembered and the second one ends the process.

  It does so at once, by the signal: Python would raise KeyboardInterrupt wherever it is
  just then, and where that is a callback it only prints it.

  A signal that was ignored before stays so: a shell starts what it puts into the
  background that way, and Ctrl-C is not meant for it.
  """

  def __init__(self) -> None:
    self.signal: int | None = None
    self._before: dict[int, Any] = {}

  def __enter__(self) -> Self:
    for number in SIGNALS:
      if signal.getsignal(number) != signal.SIG_IGN:
        self._before[number] = signal.signal(number, self._remember)
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _remember(self, number: int, frame: FrameType | None) -> None:
    self.signal = number
    for each in self._before:
      signal.signal(each, signal.SIG_DFL)


def end_at_once() -> None:
  """From now on Ctrl-C ends the process by the signal: there is nothing left to save."""
  if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
