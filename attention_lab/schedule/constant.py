"""A constant learning rate."""

import optax

from attention_lab.schedule.base.schedule import Schedule, register_schedule


@register_schedule("constant")
def constant(peak: float) -> Schedule:
  """Return a constant rate."""
  return optax.constant_schedule(peak)
