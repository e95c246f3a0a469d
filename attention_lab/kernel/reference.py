"""The plain formula (Vaswani et al., arXiv:1706.03762): what every kernel has to equal."""

import jax
import jax.numpy as jnp

from attention_lab.kernel.problem import Problem, widened
from attention_lab.kernel.weights import products, show_weights, softmax
from attention_lab.nn.dropout import drop


def reference(problem: Problem) -> jax.Array:
  """Return [B, T, N, V]; zeros for a fully masked query."""
  q, k, v, mask, scale, window, _, dropout, _ = widened(problem)
  scores = scale * products(q, k)
  if (bias := problem.bias_array) is not None:
    scores += bias
  weights = show_weights(softmax(scores, mask.dense(window)))
  weights = drop(weights, dropout)
  return jnp.einsum("BNTS,BSNV->BTNV", weights.astype(v.dtype), v)
