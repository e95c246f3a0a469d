"""Detects spikes of the training loss, and counts the steps that were skipped."""

import dataclasses
import math

DECAY = 0.98  # Of the moving mean and variance: about the last 50 steps count.
WARMUP = 100  # Steps before a spike can be detected.
SIGMAS = 6.0  # Standard deviations above the mean at which a spike begins,
MARGIN = 0.1  # or nats above it, whichever is more.


@dataclasses.dataclass
class LossMonitor:
  """Moving statistics of the loss; every checkpoint holds them.

  A spike begins at a step whose loss exceeds mean + max(6 σ, 0.1 nats) and lasts until a
  step whose loss does not. Losses beyond this bound are clipped before they enter the mean
  and σ, so that one spike does not hide the next.
  """

  mean: float = 0.0
  variance: float = 0.0
  seen: int = 0  # Steps observed.
  spiking: bool = False
  left_out: int = 0  # Steps that were skipped or rolled back.

  def observe(self, loss: float) -> bool:
    """Add the loss of a step, in nats; return whether a spike begins with it."""
    if not self.seen:
      self.mean = loss
    bound = max(SIGMAS * math.sqrt(self.variance), MARGIN)
    above = loss - self.mean
    spiking = self.seen >= WARMUP and above > bound
    begins = spiking and not self.spiking
    self.spiking = spiking
    self.seen += 1
    clipped = max(-bound, min(above, bound)) if self.seen > WARMUP else above
    self.mean += (1 - DECAY) * clipped
    self.variance = DECAY * (self.variance + (1 - DECAY) * clipped**2)
    return begins
