"""Tells losses that leap from those that vary."""

import collections
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

REMEMBERED = 100  # Losses that a new one is compared with.
FEWEST = 20  # Below so many nothing is known of how they vary.
DEVIATIONS = 6.0  # Standard deviations above the mean that make a spike.


class Spike(NamedTuple):
  """A loss above what those before it let expect."""

  step: int
  loss: float
  bound: float  # Mean + DEVIATIONS · standard deviation of those before it.


class Spikes:
  """Watches the losses of a run's steps.

  Args:
    recent: the last losses, as `recent` had them where the run was saved.
  """

  def __init__(self, recent: Iterable[float] = ()):
    self.recent = collections.deque(recent, REMEMBERED)

  def of(self, first: int, losses: Iterable[float]) -> Iterator[Spike]:
    """Those of the losses that are spikes; all of them are remembered.

    Args:
      first: the step of the first loss.
      losses: mean losses of steps that follow each other, all finite.
    """
    for step, loss in enumerate(losses, first):
      bound = self._bound()
      self.recent.append(loss)
      if loss > bound:
        yield Spike(step, loss, bound)

  def _bound(self) -> float:
    count = len(self.recent)
    if count < FEWEST:
      return math.inf
    mean = math.fsum(self.recent) / count
    variance = math.fsum((loss - mean) ** 2 for loss in self.recent) / (count - 1)
    return mean + DEVIATIONS * math.sqrt(variance)
