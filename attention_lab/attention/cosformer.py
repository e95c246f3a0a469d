"""Linear attention, relu features reweighted by a cosine (Qin et al., arXiv:2202.08791)."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.recurrent import Normalised, wide


@register_attention("cosformer")
@dataclasses.dataclass(kw_only=True)
class Cosformer(Normalised):
  """Linear attention with relu features, reweighted by a cosine of the distance.

  cos(a - b) = cos a cos b + sin a sin b makes this a dot product of features. M is the
  length of a training example, `position.max_length`. The weights encode positions
  themselves, so a rotation is not supported.

  Equation:
    y_i = Σ_j w_ij v_j / Σ_j w_ij
    w_ij = relu(q_i)·relu(k_j) cos(π/2 · (p_i - p_j) / M)

  Departures:
    - Positions from M on count as M - 1: every weight stays positive, and tokens beyond
      the training length differ from those before it but not from each other.
  """

  default_position: ClassVar[str] = "none"
  honours: ClassVar[tuple[str, ...]] = ()

  @property
  def feature_size(self) -> int:
    return 2 * self.key_size

  def query_features(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    return self._reweighted(self.project(x, "query"), positions)

  def key_features(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    return self._reweighted(self.project(x, "key"), positions)

  def _reweighted(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """relu(x) cos, relu(x) sin: [B, T, N, K], [B, T] → [B, T, N, 2K]."""
    x = jax.nn.relu(x.astype(wide(x.dtype)))
    length = self.position.max_length
    share = jnp.clip(positions, 0, length - 1).astype(x.dtype) / length
    angle = (jnp.pi / 2 * share)[..., None, None]
    return jnp.concatenate([x * jnp.cos(angle), x * jnp.sin(angle)], axis=-1)
