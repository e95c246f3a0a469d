"""The steps since metrics were last logged, and their means."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from attention_lab.nn.metrics import Sums, means
from attention_lab.update import StepMetrics


class Window(NamedTuple):
  """Metrics of the steps since the last log entry, one list entry per step.

  A checkpoint holds them, so that a resumed run logs the same means.
  """

  loss: list[float]  # Sum over the tokens of a batch, in nats.
  correct: list[float]
  weight: list[float]
  grad_norm: list[float]

  @classmethod
  def of(cls, lists: Sequence[Sequence[float]] = ((), (), (), ())) -> Self:
    """Return a window with a copy of four lists; empty by default."""
    return cls(*map(list, lists))

  def extend(self, metrics: StepMetrics) -> list[float]:
    """Append the metrics of some steps [K]; return their mean losses in nats."""
    for values, new in zip(self, (*metrics.sums, metrics.grad_norm), strict=True):
      values.extend(map(float, new))
    count = len(metrics.grad_norm)
    losses = np.divide(
      self.loss[len(self.loss) - count :],
      np.maximum(self.weight[len(self.weight) - count :], 1),
    )
    return list(map(float, losses))

  def report(self) -> dict[str, float]:
    """Return the means; the order of summation is the same after a resume."""
    figures = means(Sums(self.loss, self.correct, self.weight))  # type: ignore[arg-type]
    return figures | {"grad_norm": float(np.mean(self.grad_norm))}
