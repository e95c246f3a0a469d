"""Stochastic gradient descent, with momentum (Robbins and Monro, 1951; Polyak, 1964)."""

import optax

from attention_lab.optimizer.base.optimizer import register_optimizer
from attention_lab.plugin.ranges import Share
from attention_lab.schedule.base.schedule import Schedule


@register_optimizer("sgd")
def sgd(
  learning_rate: Schedule,
  momentum: Share = 0.0,  # μ; 0 for none.
  nesterov: bool = False,  # Whether to step along g + μ m.
) -> optax.GradientTransformation:
  """Return stochastic gradient descent.

  Equation:
    m_t = μ m_{t-1} + g_t
    θ_t = θ_{t-1} - η_t m_t
  """
  return optax.sgd(learning_rate, momentum or None, nesterov)
