"""Adam (Kingma and Ba, arXiv:1412.6980)."""

import optax

from attention_lab.optimizer.base.optimizer import register_optimizer
from attention_lab.plugin.ranges import Share
from attention_lab.schedule.base.schedule import Schedule


@register_optimizer("adam")
def adam(
  learning_rate: Schedule,
  b1: Share = 0.9,  # β_1, decay of the mean of the gradients m.
  b2: Share = 0.999,  # β_2, decay of the mean of their squares v.
  eps: Share = 1e-8,  # ε.
) -> optax.GradientTransformation:
  """Return Adam.

  Equation:
    m_t = β_1 m_{t-1} + (1 - β_1) g_t,  m̂_t = m_t / (1 - β_1^t)
    v_t = β_2 v_{t-1} + (1 - β_2) g_t²,  v̂_t = v_t / (1 - β_2^t)
    θ_t = θ_{t-1} - η_t m̂_t / (√(v̂_t) + ε)
  """
  return optax.adam(learning_rate, b1, b2, eps)
