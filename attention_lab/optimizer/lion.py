"""Lion: the sign of the momentum (Chen et al., arXiv:2302.06675)."""

import optax

from attention_lab.optimizer.base import decay
from attention_lab.optimizer.base.optimizer import register_optimizer
from attention_lab.plugin.ranges import NonNegative, Share
from attention_lab.schedule.base.schedule import Schedule


@register_optimizer("lion")
def lion(
  learning_rate: Schedule,
  b1: Share = 0.9,
  b2: Share = 0.99,
  weight_decay: NonNegative = 1e-3,
  decay_all: bool = True,
) -> optax.GradientTransformation:
  """Return Lion; without `decay_all`, only matrices decay."""
  mask = decay.mask(decay_all)
  return optax.lion(learning_rate, b1, b2, weight_decay=weight_decay, mask=mask)
