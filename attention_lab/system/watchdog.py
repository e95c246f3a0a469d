"""Watchdog: reports a step that takes long, such as an endless loop of a plugin."""

import threading
from collections.abc import Callable
from typing import Self

FIRST = 20.0  # Seconds until the first report; each next one comes after twice as many.


class Watchdog:
  """Context that calls a function with the seconds that it has lasted, ever less often.

  A thread calls the function, so that it is called in an endless loop too.

  Args:
    report: the function.
    first: seconds until the first call.
  """

  def __init__(self, report: Callable[[float], None], first: float = FIRST):
    self._report, self._first = report, first
    self._ended = threading.Event()
    self._thread = threading.Thread(target=self._watch, daemon=True)

  def __enter__(self) -> Self:
    self._thread.start()
    return self

  def __exit__(self, *exception: object) -> None:
    self._ended.set()
    self._thread.join()

  def _watch(self) -> None:
    passed, wait = 0.0, self._first
    while not self._ended.wait(wait):
      passed += wait
      self._report(passed)
      wait = passed
