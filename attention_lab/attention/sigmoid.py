"""Sigmoid attention: each weight on its own (Ramapuram et al., arXiv:2409.04431)."""

import math

import jax

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.weighted import Weighted


@register_attention("sigmoid")
class Sigmoid(Weighted):
  """σ(Q Kᵀ / √K - log n) V, with n the length of training, so that decoding is equal.

  The offset makes the weights of a row of n tokens sum to about one at the start.
  """

  def weights(self, scores: jax.Array, allowed: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(scores - math.log(self.position.max_length)) * allowed
