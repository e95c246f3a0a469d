"""Linear attention, features elu + 1 (Katharopoulos et al., arXiv:2006.16236)."""

import dataclasses

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.recurrent import EPSILON, Normalised, Sums, wide
from attention_lab.kernel.mask import Mask


@register_attention("linear")
@dataclasses.dataclass(kw_only=True)
class Linear(Normalised):
  """Linear attention with the features elu + 1.

  Equation:
    y_i = Σ_j φ(q_i)·φ(k_j) v_j / Σ_j φ(q_i)·φ(k_j)
    φ(x) = elu(x) + 1

  Departures:
    - A rotation turns the features of the numerator and not those of the denominator,
      which stays positive so, as in RoFormer (arXiv:2104.09864, equation 19).
  """

  @property
  def feature_size(self) -> int:
    return self.key_size

  def query_features(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    del positions
    return elu_plus_one(self.project(x, "query"))

  def key_features(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    del positions
    return elu_plus_one(self.project(x, "key"))

  def mean(
    self,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    mask: Mask,
    state: Sums,
    log_decay: jax.Array | None = None,
  ) -> tuple[jax.Array, Sums]:
    turned_q = self.position.rotate(q, mask.query_positions)
    turned_k = self.position.rotate_keys(k, mask.context_positions)
    if turned_q is q and turned_k is k:  # Then one pass gives both sums.
      return super().mean(q, k, v, mask, state, log_decay)
    values, new_values = self.sums(turned_q, turned_k, v, mask, state.values, log_decay)
    ones = jnp.ones_like(k[..., :1])
    weights, new_weights = self.sums(q, k, ones, mask, state.weights, log_decay)
    return values / (weights + EPSILON), Sums(new_values, new_weights)


def elu_plus_one(x: jax.Array) -> jax.Array:
  """x + 1 above 0, exp(x) below, in float32 at least; never rounded to 0 near e^-17."""
  x = x.astype(wide(x.dtype))
  return jnp.where(x > 0, x + 1, jnp.exp(jnp.minimum(x, 0)))
