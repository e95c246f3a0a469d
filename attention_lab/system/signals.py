"""Signals that ask a run to end, as a flag that the training loop reads.

Elsewhere Ctrl-C ends the process by the signal itself. Python's KeyboardInterrupt is
raised wherever the main thread is: a callback loses it, and JAX's tracing reports it as
another error.
"""

import contextlib
import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any, Self

ENDING = (signal.SIGINT, signal.SIGTERM)
# A closed terminal, often sent twice; and what Slurm sends ahead of its time limit.
NOTICES = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
SIGNALS = ENDING + NOTICES
SHOW_CURSOR = b"\x1b[?25h"


class Interrupt:
  """Context in which the first signal sets a flag and a later one is handled as before.

  In a command, a later one ends the process; in a notebook, it raises KeyboardInterrupt. A
  later one of `NOTICES` changes nothing: it does not ask for a faster end. A signal that
  was ignored before stays ignored: `nohup` and shells start processes that way.
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
    if self.signal is not None:
      return
    self.signal = number
    for each in ENDING:
      if each in self._before:
        signal.signal(each, self._before[each])
    if sys.stdout.isatty():  # A progress bar hides the cursor.
      with contextlib.suppress(OSError):  # The terminal may be closed.
        os.write(sys.stdout.fileno(), SHOW_CURSOR)


def end_at_once() -> None:
  """Make Ctrl-C end the process by the signal, except in an `Interrupt`."""
  if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
