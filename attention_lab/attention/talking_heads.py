"""Talking heads: they mix around the softmax (Shazeer et al., arXiv:2003.02436)."""

import dataclasses
from typing import ClassVar

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.weighted import Weighted


@register_attention("talking_heads")
@dataclasses.dataclass(kw_only=True)
class TalkingHeads(Weighted):
  """Softmax attention whose heads mix scores and weights with each other.

  A bias of the positional scheme is part of the scores that mix.

  Equation:
    Y_n = Σ_m B_mn W_m V_n
    W_n = softmax(Σ_m A_mn S_m),  S_n = Q_n K_nᵀ / √d

  Departures:
    - The matrices A and B [N, N] start as the identity: it begins as standard
      attention.
  """

  honours_prefix: ClassVar[bool] = True
  undecayed: ClassVar[tuple[str, ...]] = ("mix_scores", "mix_weights")

  mix_scores: bool = True  # Whether heads mix before the softmax.
  mix_weights: bool = True  # Whether heads mix after it.

  def weights(self, scores: jax.Array, allowed: jax.Array) -> jax.Array:
    if self.mix_scores:
      scores = self._mix("mix_scores", scores)
    weights = super().weights(scores, allowed)  # What is masked is so after mixing.
    return self._mix("mix_weights", weights) if self.mix_weights else weights

  def _mix(self, name: str, x: jax.Array) -> jax.Array:
    """Mix the heads linearly: [B, N, T, S] → [B, N, T, S]."""
    shape = (self.num_heads, self.num_heads)
    w = hk.get_parameter(name, shape, x.dtype, init=hk.initializers.Identity())
    return jnp.einsum("BHTS,HN->BNTS", x, w)
