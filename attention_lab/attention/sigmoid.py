"""Sigmoid attention: each weight on its own (Ramapuram et al., arXiv:2409.04431)."""

import math
from typing import ClassVar

import jax

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.weighted import Weighted


@register_attention("sigmoid")
class Sigmoid(Weighted):
  """Attention whose weights are sigmoids of the scores, each on its own.

  The offset makes the weights of a row of n tokens sum to about one at the start.

  Equation:
    y_i = Σ_j σ(q_i·k_j / √K - log n) v_j

  Departures:
    - n is the length of training, as in the paper, and not that of the sequence, so
      that decoding equals the full pass.
  """

  honours_prefix: ClassVar[bool] = True

  def weights(self, scores: jax.Array, allowed: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(scores - math.log(self.position.max_length)) * allowed
