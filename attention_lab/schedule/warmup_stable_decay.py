"""A constant rate that decays at the end only (Hu et al., MiniCPM, arXiv:2404.06395)."""

from typing import Literal

import jax.numpy as jnp
import optax

from attention_lab.errors import UserError
from attention_lab.plugin.ranges import NonNegative, Share
from attention_lab.schedule.base.schedule import Schedule, register_schedule, rise


@register_schedule("warmup_stable_decay")
def warmup_stable_decay(
  peak: float,
  steps: int,
  warmup: Share = 0.05,  # Share of the steps that the increase takes.
  decay: Share = 0.2,  # Share of the steps that the decay takes, at the end.
  final: NonNegative = 0.0,  # Last rate over the peak.
  shape: Literal["linear", "sqrt"] = "sqrt",  # Of the decay: 1 - s, or 1 - √s.
) -> Schedule:
  """Return a rate that decays to `final` · peak over the last steps only.

  s is the share of the decay that is over. The shape `sqrt` is that of Hägele et al.
  (arXiv:2405.18392).

  Equation:
    η_t = peak (1 - (1 - final) √s)

  Departures:
    - MiniCPM decays exponentially.
  """
  if warmup + decay > 1:
    raise UserError(
      f"warmup_stable_decay(warmup={warmup}, decay={decay}): together they take more "
      f"than all steps."
    )
  rising, falling = int(warmup * steps), int(decay * steps)

  def fall(step: jnp.ndarray) -> jnp.ndarray:
    share = jnp.clip(step / max(1, falling), 0, 1)
    share = jnp.sqrt(share) if shape == "sqrt" else share
    return peak * (1 - (1 - final) * share)

  stable = optax.constant_schedule(peak)
  return optax.join_schedules(
    [rise(peak, rising), stable, fall], [rising, steps - falling]
  )
