"""Stochastic gradient descent, with momentum if it is above 0."""

import optax

from attention_lab.optimizer.base.optimizer import register_optimizer
from attention_lab.plugin.ranges import Share
from attention_lab.schedule.base.schedule import Schedule


@register_optimizer("sgd")
def sgd(
  learning_rate: Schedule, momentum: Share = 0.0, nesterov: bool = False
) -> optax.GradientTransformation:
  """Return stochastic gradient descent."""
  return optax.sgd(learning_rate, momentum or None, nesterov)
