"""FIRE: a bias from a network of the relative distance (Li et al., arXiv:2310.04418)."""

import dataclasses

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.errors import UserError
from attention_lab.position.base.position import Position, register_position


@register_position("fire")
@dataclasses.dataclass(kw_only=True)
class Fire(Position):
  """Adds a learned function f of the relative distance, a network of one hidden layer.

  The argument stays within 0 and 1 for every sequence length. c, L and f are learned; c
  and L enter by their magnitude.

  Equation:
    s'_ij = s_ij + f(ψ(i - j) / ψ(max(i, L)))
    ψ(x) = log(1 + c x)

  Departures:
    - For a token j after i, the distance is j - i and the scale that of j, so that the
      argument is defined, and within the bounds, for all pairs.
  """

  width: int = 32  # Hidden units of the network.
  threshold: float = 512.0  # Initial L; up to this position the scale is constant.

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.width < 1 or self.threshold <= 0:
      raise UserError(
        f"fire(width={self.width}, threshold={self.threshold}): at least 1; above 0."
      )

  def bias(
    self, query_positions: jax.Array, context_positions: jax.Array, num_heads: int
  ) -> jax.Array:
    c = jnp.abs(_learned("c", (), hk.initializers.Constant(0.1)))
    # The parameter is a multiple of the threshold, so that one learning rate suits all.
    multiple = _learned("threshold", (), jnp.ones)
    threshold = self.threshold * jnp.abs(multiple)
    i, j = query_positions[:, :, None], context_positions[:, None, :]
    scale = jnp.maximum(jnp.maximum(i, j), threshold)
    x = jnp.log1p(c * jnp.abs(i - j)) / (jnp.log1p(c * scale) + 1e-6)  # [B, T, S]
    return self._network(x, num_heads)

  def _network(self, x: jax.Array, num_heads: int) -> jax.Array:
    """Apply the network: [B, T, S] → [B, N, T, S]."""
    init = hk.initializers.VarianceScaling(1.0, "fan_in", "truncated_normal")
    w1 = _learned("w1", (1, self.width), init)[0]
    b1 = _learned("b1", (self.width,), jnp.zeros)
    w2 = _learned("w2", (self.width, num_heads), init)
    b2 = _learned("b2", (num_heads,), jnp.zeros)
    hidden = x[..., None] * w1[None, None, None] + b1[None, None, None]
    y = jnp.einsum("BTSF,FN->BNTS", jax.nn.relu(hidden), w2)
    return y + b2[None, :, None, None]


def _learned(
  name: str, shape: tuple[int, ...], init: hk.initializers.Initializer
) -> jax.Array:
  """Return a parameter in float32 or wider."""
  x = hk.get_parameter(name, shape, jnp.result_type(float), init=init)
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))
