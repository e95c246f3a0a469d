"""Based's linear attention: exp as its Taylor series (Arora et al., arXiv:2402.18668)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.recurrent import Normalised, wide
from attention_lab.errors import UserError

MOST = 256  # The size of queries and keys: its square is half of what a state holds.


@register_attention("based")
@dataclasses.dataclass(kw_only=True)
class Based(Normalised):
  """Linear attention whose weights are the second-order Taylor series of exp.

  As a dot product of features: 1, the R entries of x' = x / R^(1/4), and of x' x'ᵀ / √2
  the half that says it all, x'_a x'_b with a <= b, times √2 where a < b. No weight is
  below 1/2. The paper's model mixes such layers with sliding windows:
  `--attention=based,sliding_window`.

  Equation:
    y_i = Σ_j w_ij v_j / Σ_j w_ij
    w_ij = 1 + s_ij + s_ij² / 2,  s_ij = q_i·k_j / √R

  Departures:
    - It keeps half of x' x'ᵀ, since that matrix is symmetric.
  """

  feature: int = 16  # R, the size of a head's queries and keys.

  @property
  def feature_size(self) -> int:
    if not 1 <= self.feature <= MOST:
      raise UserError(f"feature={self.feature}: take 1 to {MOST}.")
    return 1 + self.feature + self.feature * (self.feature + 1) // 2

  def query_features(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    q = self.project(x, "query", self.feature)
    return taylor(self.position.rotate(q, positions) * self.position.score_scale)

  def key_features(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    k = self.project(x, "key", self.feature)
    return taylor(self.position.rotate_keys(k, positions))


def taylor(x: jax.Array) -> jax.Array:
  """Map [..., R] → [..., F] so that dot products are 1 + s + s²/2; float32 or wider."""
  size = x.shape[-1]
  x = x.astype(wide(x.dtype)) * size**-0.25
  first, second = np.triu_indices(size)
  factor = np.where(first == second, 0.5**0.5, 1.0)

  def pick(which: np.ndarray, factor: np.ndarray | float) -> jax.Array:
    # A product, because the gradient of an index is a slow scatter.
    matrix = jnp.asarray(np.eye(size)[:, which] * factor, x.dtype)
    return jnp.matmul(x, matrix, precision=jax.lax.Precision.HIGHEST)

  pairs = pick(first, factor) * pick(second, 1.0)
  return jnp.concatenate([jnp.ones_like(x[..., :1]), x, pairs], axis=-1)
