"""A linear increase, then a cosine decay (Loshchilov and Hutter, arXiv:1608.03983)."""

import optax

from attention_lab.errors import UserError
from attention_lab.plugin.ranges import NonNegative
from attention_lab.schedule.base.schedule import Schedule, register_schedule, rise


@register_schedule("cosine")
def cosine(
  peak: float,
  steps: int,
  warmup: float = 0.0,  # Share of the steps that the increase takes.
  final: NonNegative = 0.1,  # Last rate over the peak.
) -> Schedule:
  """Return a linear increase, then a cosine decay to `final` · peak.

  s is the share of the decay that is over.

  Equation:
    η_t = peak (final + (1 - final) (1 + cos(π s)) / 2)
  """
  if not 0 <= warmup < 1:
    raise UserError(f"cosine(warmup={warmup}): take a share of the steps, 0 <= w < 1.")
  rising = int(warmup * steps)
  fall = optax.cosine_decay_schedule(peak, steps - rising, final)
  return optax.join_schedules([rise(peak, rising), fall], [rising])
