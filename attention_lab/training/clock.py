"""Seconds of a run over all of its starts."""

import time


class Clock:
  """Wall-clock and training seconds of one run.

  Args:
    runs: number of runs that share one program, and with it its seconds.
  """

  def __init__(self, runs: int = 1):
    self._runs = runs
    self._start = time.perf_counter()
    self._earlier = (0.0, 0.0)  # Seconds and training seconds of earlier starts.

  def resume(self, seconds: float, training_seconds: float) -> None:
    """Add the seconds of earlier starts."""
    self._earlier = (seconds, training_seconds)

  def seconds(self) -> float:
    """Return the wall-clock seconds over all starts."""
    return self._earlier[0] + (time.perf_counter() - self._start) / self._runs

  def training_seconds(self, spent: float) -> float:
    """Return the seconds in training steps over all starts.

    Args:
      spent: seconds in training steps since this start, by all runs.
    """
    return self._earlier[1] + spent / self._runs
