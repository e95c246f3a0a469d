"""xPos: a rotation whose scores decay with the distance (Sun et al., arXiv:2212.10554)."""

import dataclasses

import jax
import jax.numpy as jnp

from attention_lab.errors import UserError
from attention_lab.position.base.position import Position, register_position
from attention_lab.position.base.rotation import frequencies, turn


@register_position("xpos")
@dataclasses.dataclass(kw_only=True)
class XPos(Position):
  """Rotates as rope does, and scales so that scores decay with the distance.

  The pair's part of the score is multiplied by ζ_f^(i-j): it falls for the past and
  grows for the future, which makes this a scheme for causal attention. R_p is rope's
  rotation.

  Equation:
    q'_f = ζ_f^p R_p q_f,  k'_f = ζ_f^{-p} R_p k_f
    ζ_f = ((2f/K + γ) / (1 + γ))^{1/scale_base}

  Departures:
    - Half the training length is taken off every p, which cancels and keeps the powers
      small: up to 16,384 positions they stay below 10^18, and overflow float32 from
      36,000 on.
  """

  base: float = 10_000.0  # The longest wavelength is 2π · base positions.
  gamma: float = 0.4  # Larger values make the fast pairs decay more slowly.
  scale_base: float = 512.0  # Distance at which the pair f decays to ζ_f^scale_base.

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.gamma <= 0 or self.scale_base <= 0:
      raise UserError(
        f"xpos(gamma={self.gamma}, scale_base={self.scale_base}): both are above 0."
      )

  def rotate(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    return self._turn(x, positions, 1)

  def rotate_keys(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    return self._turn(x, positions, -1)

  def _turn(self, x: jax.Array, positions: jax.Array, sign: int) -> jax.Array:
    key_size = x.shape[-1]
    angle = jnp.einsum("BT,F->BTF", positions, frequencies(key_size, self.base))
    pair = 2 * jnp.arange(key_size // 2) / key_size
    decay = jnp.log((pair + self.gamma) / (1 + self.gamma)) / self.scale_base
    centred = sign * (positions - self.max_length / 2)
    length = jnp.exp(jnp.einsum("BT,F->BTF", centred, decay))
    return turn(x, length * jnp.cos(angle), length * jnp.sin(angle))
