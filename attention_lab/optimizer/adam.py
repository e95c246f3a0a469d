"""Adam (Kingma and Ba, arXiv:1412.6980)."""

import optax

from attention_lab.optimizer.base.optimizer import register_optimizer
from attention_lab.plugin.ranges import Share
from attention_lab.schedule.base.schedule import Schedule


@register_optimizer("adam")
def adam(
  learning_rate: Schedule, b1: Share = 0.9, b2: Share = 0.999, eps: Share = 1e-8
) -> optax.GradientTransformation:
  """Return Adam."""
  return optax.adam(learning_rate, b1, b2, eps)
