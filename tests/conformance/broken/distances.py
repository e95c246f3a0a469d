"""Attentions whose outputs change if all positions are shifted."""

import jax

from attention_lab.attention.base.weighted import Weighted
from attention_lab.attention.gated_linear import GatedLinear
from tests.conformance.broken.base import breaks

LAW = "distances.shifted_positions_change_nothing"


@breaks(LAW)
class GatesByRotatedQueries(Weighted):
  """Multiplies its heads by a gate of the rotated query."""

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v, mask) * 2 * jax.nn.sigmoid(q)


@breaks(LAW)
class DecaysFeaturesOfAPairApart(GatedLinear):
  """Lets both features of a turned pair decay at rates of their own."""

  def log_decay(self, x):
    return self._of_each_feature(x)
