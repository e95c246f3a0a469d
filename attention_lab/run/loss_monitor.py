"""How a run's loss has been of late: what tells a spike, and what was left out."""

import dataclasses
import math

DECAY = 0.98  # Of the moving mean and variance: about the last 50 steps count.
SEEN = 100  # Steps before anything counts as a spike.
SIGMAS = 6.0  # Standard deviations above the mean that make a spike,
LEAST = 0.1  # and nats.


@dataclasses.dataclass
class Health:
  """What is remembered from step to step, and kept in every checkpoint.

  A spike begins at a step whose loss is above mean + max(6 σ, 0.1 nats), both moving;
  steps that follow it belong to it until one is below that. Beyond it no step moves mean
  and σ, so a spike hides no other one.
  """

  mean: float = 0.0
  variance: float = 0.0
  seen: int = 0  # Steps.
  spiking: bool = False
  left_out: int = 0  # Steps that were skipped or rolled back.

  def see(self, loss: float) -> bool:
    """Takes in a step's loss, in nats; whether a spike begins with it."""
    if not self.seen:
      self.mean = loss
    room = max(SIGMAS * math.sqrt(self.variance), LEAST)
    above = loss - self.mean
    spiking = self.seen >= SEEN and above > room
    begins = spiking and not self.spiking
    self.spiking = spiking
    self.seen += 1
    moved = max(-room, min(above, room)) if self.seen > SEEN else above
    self.mean += (1 - DECAY) * moved
    self.variance = DECAY * (self.variance + (1 - DECAY) * moved**2)
    return begins
