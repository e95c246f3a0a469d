"""A linear increase, then 1/√step (Vaswani et al., arXiv:1706.03762, section 5.3)."""

from typing import Annotated, Any

import jax.numpy as jnp

from attention_lab.plugin.ranges import Range
from attention_lab.schedule.base.schedule import Schedule, register_schedule


@register_schedule("noam")
def noam(
  peak: float,
  warmup_steps: Annotated[int, Range(0)] = 4000,  # W, steps of the increase.
) -> Schedule:
  """Return a linear increase over `warmup_steps`, then a decay by 1/√step.

  The paper's rate is `peak` = 1 / √(d_model · warmup_steps).

  Equation:
    η_t = peak min(t / W, √(W / t))
  """
  start = max(1, warmup_steps)

  def rate(step: Any) -> Any:
    step = jnp.asarray(step, jnp.float32) + 1
    return peak * jnp.minimum(step / start, jnp.sqrt(start / step))

  return rate
