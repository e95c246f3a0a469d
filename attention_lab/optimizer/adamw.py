"""Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101)."""

import optax

from attention_lab.optimizer.base import decay
from attention_lab.optimizer.base.optimizer import Decays, register_optimizer
from attention_lab.plugin.ranges import NonNegative, Share
from attention_lab.schedule.base.schedule import Schedule


@register_optimizer("adamw")
def adamw(
  learning_rate: Schedule,
  decays: Decays = decay.matrices,
  b1: Share = 0.9,  # β_1, decay of the mean of the gradients m.
  b2: Share = 0.999,  # β_2, decay of the mean of their squares v.
  eps: Share = 1e-8,  # ε.
  weight_decay: NonNegative = 1e-4,  # λ.
  decay_all: bool = True,  # Whether all parameters decay, not weights alone.
) -> optax.GradientTransformation:
  """Return AdamW.

  Equation:
    m_t = β_1 m_{t-1} + (1 - β_1) g_t,  m̂_t = m_t / (1 - β_1^t)
    v_t = β_2 v_{t-1} + (1 - β_2) g_t²,  v̂_t = v_t / (1 - β_2^t)
    θ_t = θ_{t-1} - η_t (m̂_t / (√(v̂_t) + ε) + λ θ_{t-1})
  """
  mask = decay.mask(decay_all, decays)
  return optax.adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=mask)
