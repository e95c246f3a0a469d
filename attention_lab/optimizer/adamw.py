"""Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101)."""

import optax

from attention_lab.optimizer.base import decay
from attention_lab.optimizer.base.optimizer import register_optimizer
from attention_lab.plugin.ranges import NonNegative, Share
from attention_lab.schedule.base.schedule import Schedule


@register_optimizer("adamw")
def adamw(
  learning_rate: Schedule,
  b1: Share = 0.9,
  b2: Share = 0.999,
  eps: Share = 1e-8,
  weight_decay: NonNegative = 1e-4,
  decay_all: bool = True,
) -> optax.GradientTransformation:
  """Return AdamW; without `decay_all`, only matrices decay."""
  mask = decay.mask(decay_all)
  return optax.adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=mask)
