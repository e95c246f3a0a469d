"""Softmax with one added to its denominator, so weights may vanish (E. Miller; no paper).

With a learned sink instead of the one, it is the zero-sink of StreamingLLM (Xiao et al.,
arXiv:2309.17453) in the form of gpt-oss, with one number per head.
"""

import dataclasses
from typing import ClassVar, Literal

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.weighted import Weighted
from attention_lab.kernel.weights import softmax


@register_attention("softmax_plus_one")
@dataclasses.dataclass(kw_only=True)
class SoftmaxPlusOne(Weighted):
  """Softmax attention with a sink in the denominator: a head may attend to nothing at all.

  Equation:
    y_i = Σ_j exp(s_ij) v_j / (exp(sink) + Σ_j exp(s_ij))
    s_ij = q_i·k_j / √K
  """

  honours_prefix: ClassVar[bool] = True

  sink: Literal["one", "learned"] = (
    "one"  # The sink's score: 0, or learned by each head.
  )

  def weights(self, scores: jax.Array, allowed: jax.Array) -> jax.Array:
    sink = jnp.zeros(self.num_heads, scores.dtype)
    if self.sink == "learned":
      sink = hk.get_parameter("sink", sink.shape, sink.dtype, init=jnp.zeros)
    # A token whose value is zero: so the softmax that is stable serves as it is.
    sinks = jnp.broadcast_to(sink[None, :, None, None], (*scores.shape[:3], 1))
    always = jnp.ones((*allowed.shape[:3], 1), bool)
    both = jnp.concatenate([sinks, scores], axis=-1)
    return softmax(both, jnp.concatenate([always, allowed], axis=-1))[..., 1:]
