"""A linear increase to the peak, then a constant rate."""

from typing import Annotated

import optax

from attention_lab.plugin.ranges import Range
from attention_lab.schedule.base.schedule import Schedule, register_schedule, rise


@register_schedule("warmup")
def warmup(
  peak: float,
  warmup_steps: Annotated[int, Range(0)] = 100,  # Steps of the increase.
) -> Schedule:
  """Return a linear increase over `warmup_steps`, then a constant rate."""
  return optax.join_schedules(
    [rise(peak, warmup_steps), optax.constant_schedule(peak)], [warmup_steps]
  )
