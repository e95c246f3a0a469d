"""KERPLE: a bias from a kernel of the distance, learned (Chi et al., arXiv:2205.09921)."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.position.base.position import Position, register_position


@register_position("kerple")
@dataclasses.dataclass(kw_only=True)
class Kerple(Position):
  """Adds a negative kernel of the distance, with two learned numbers for each head.

  The first equation is that of the variant "log", the second that of "power". The
  parameters are log r_1 and log r_2, or for the power r_2 = 2 σ(·), which keeps both in
  their ranges without clipping. At the start r_1 is drawn from (0, 2) and r_2 from (0, 1),
  or for the power r_1 from (0, 1) and r_2 from (0, 2).

  Equation:
    s'_ij = s_ij - r_1 log(1 + r_2 |i - j|)
    s'_ij = s_ij - r_1 |i - j|^{r_2}
  """

  variant: Literal["log", "power"] = "log"  # The kernel.

  def bias(
    self, query_positions: jax.Array, context_positions: jax.Array, num_heads: int
  ) -> jax.Array:
    distance = jnp.abs(query_positions[:, :, None] - context_positions[:, None, :])
    distance = distance[:, None]  # [B, 1, T, S]
    if self.variant == "log":
      r1 = jnp.exp(_learned("r1", num_heads, lambda u: jnp.log(2 * u)))
      r2 = jnp.exp(_learned("r2", num_heads, jnp.log))
      return -r1 * jnp.log1p(r2 * distance)
    r1 = jnp.exp(_learned("r1", num_heads, jnp.log))
    r2 = 2 * jax.nn.sigmoid(_learned("r2", num_heads, lambda u: jnp.log(u / (1 - u))))
    power = jnp.exp(r2 * jnp.log(jnp.maximum(distance, 1)))
    return -r1 * jnp.where(distance == 0, 0, power)


def _learned(
  name: str, num_heads: int, start: Callable[[jax.Array], jax.Array]
) -> jax.Array:
  """Return a parameter [1, N, 1, 1], initialised to `start` of a uniform number."""
  uniform = hk.initializers.RandomUniform(0.01, 0.99)

  def init(shape: Sequence[int], dtype: Any) -> jax.Array:
    return start(uniform(shape, dtype))

  x = hk.get_parameter(name, (num_heads,), jnp.result_type(float), init=init)
  x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  return x[None, :, None, None]
