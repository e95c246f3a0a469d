"""Lion: the sign of the momentum (Chen et al., arXiv:2302.06675)."""

import optax

from attention_lab.optimizer.base import decay
from attention_lab.optimizer.base.optimizer import Decays, register_optimizer
from attention_lab.plugin.ranges import NonNegative, Share
from attention_lab.schedule.base.schedule import Schedule


@register_optimizer("lion")
def lion(
  learning_rate: Schedule,
  decays: Decays = decay.matrices,
  b1: Share = 0.9,  # β_1, share of the momentum in the step.
  b2: Share = 0.99,  # β_2, decay of the momentum m.
  weight_decay: NonNegative = 1e-3,  # λ.
  decay_all: bool = True,  # Whether all parameters decay, not weights alone.
) -> optax.GradientTransformation:
  """Return Lion.

  Equation:
    θ_t = θ_{t-1} - η_t (sign(β_1 m_{t-1} + (1 - β_1) g_t) + λ θ_{t-1})
    m_t = β_2 m_{t-1} + (1 - β_2) g_t
  """
  mask = decay.mask(decay_all, decays)
  return optax.lion(learning_rate, b1, b2, weight_decay=weight_decay, mask=mask)
