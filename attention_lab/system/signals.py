"""SIGTERM and Ctrl-C as a flag that the training loop looks at.

What ends the process does so at once, by the signal. Python's KeyboardInterrupt comes up
wherever the main thread is: in a callback, which loses it, or inside of JAX's tracing,
which tells it as another error.
"""

import contextlib
import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = b"\x1b[?25h"


class Interrupt:
  """While entered, the first signal is remembered and the second one ends the process.

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
    if sys.stdout.isatty():  # A bar hides it, and may not come to show it again.
      with contextlib.suppress(OSError):  # The terminal may go any moment.
        os.write(sys.stdout.fileno(), SHOW_CURSOR)


def end_at_once() -> None:
  """From now on Ctrl-C ends the process, but where an `Interrupt` is entered."""
  if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
