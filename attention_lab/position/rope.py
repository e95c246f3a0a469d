"""Rotary position embedding of queries and keys (Su et al., arXiv:2104.09864).

Extensions beyond the training length: position interpolation (arXiv:2306.15595), a
changed base ("NTK-aware", by bloc97, 2023), and YaRN (arXiv:2309.00071).
"""

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp

from attention_lab.errors import UserError
from attention_lab.position.base.position import Position, register_position
from attention_lab.position.base.rotation import frequencies, turn

# YaRN: number of turns within the training length above which a pair is unchanged, and
# below which it is interpolated. Between them is a ramp.
BETA_FAST, BETA_SLOW = 32.0, 1.0


@register_position("rope")
@dataclasses.dataclass(kw_only=True)
class Rope(Position):
  """Turns the pairs of features of queries and keys by angles that grow with the position.

  The pairs are first half with second half, as in GPT-NeoX. Scores then depend on the
  distance between query and key alone. With a share below 1 the pairs f < F/2 turn, by
  p · base^(-2f/F), and the other features pass through.

  Equation:
    x'_f = x_f cos θ_f - x_{f+K/2} sin θ_f
    x'_{f+K/2} = x_{f+K/2} cos θ_f + x_f sin θ_f
    θ_f = p · base^{-2f/K}

  Departures:
    - YaRN's temperature multiplies the scores of a softmax by (0.1 ln s + 1)², rather
      than queries and keys by the root, so that attentions without a softmax, such as
      linear attention, are only rotated.
  """

  base: float = 10_000.0  # The longest wavelength is 2π · base positions.
  share: float = 1.0  # Share of a head's features that turn, rounded to pairs.
  scaling: Literal["none", "linear", "ntk", "yarn"] = "none"  # Method of extension.
  factor: float = 1.0  # Length to extend to, in training lengths.
  # Length that the parameters were trained at, for "yarn"; 0 for that of the dataset.
  original: int = 0
  # What the ramp of "yarn" is linear in: the number of turns, as the paper says, or the
  # index of the pair, as in the authors' code and in transformers.
  ramp: Literal["turns", "dimensions"] = "turns"

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.base <= 0:
      raise UserError(f"rope(base={self.base}): take a number above 0.")
    if not 0 < self.share <= 1:
      raise UserError(f"rope(share={self.share}): a share is above 0 and at most 1.")
    if self.scaling == "none" and self.factor != 1:
      raise UserError(
        f"rope(factor={self.factor}) needs a scaling: linear, ntk or yarn."
      )
    if self.original < 0 or (self.original and self.scaling != "yarn"):
      raise UserError(
        f"rope(original={self.original}): take a length, with scaling=yarn."
      )
    if self.ramp != "turns" and self.scaling != "yarn":
      raise UserError(f"rope(ramp={self.ramp}) needs scaling=yarn.")
    if self.scaling != "none" and self.factor <= 1:
      raise UserError(
        f"rope(scaling={self.scaling}) needs a factor above 1, not {self.factor}."
      )

  def rotate(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    angle = jnp.einsum("BT,F->BTF", positions, self._frequencies(x.shape[-1]))
    return turn(x, jnp.cos(angle), jnp.sin(angle))

  @property
  def score_scale(self) -> float:
    if self.scaling != "yarn":
      return 1.0
    # 1/t, with the paper's temperature t.
    return (0.1 * math.log(self.factor) + 1) ** 2

  def _frequencies(self, key_size: int) -> jax.Array:
    """Return radians per position of every pair: [K/2], 0 for pairs not rotated."""
    turned = 2 * round(self.share * (key_size // 2))
    if not turned:
      raise UserError(f"rope(share={self.share}) turns no pair of {key_size} features.")
    frequency = frequencies(turned, self._base(turned))
    if self.scaling == "linear":
      frequency /= self.factor
    if self.scaling == "yarn":
      kept = self._kept(frequency)
      frequency *= kept + (1 - kept) / self.factor
    return jnp.pad(frequency, (0, (key_size - turned) // 2))

  def _kept(self, frequency: jax.Array) -> jax.Array:
    """Return YaRN's share of each frequency that is not interpolated: [F/2]."""
    length = (self.original or self.max_length) / (2 * math.pi)
    if self.ramp == "turns":
      turns = length * frequency
      return jnp.clip((turns - BETA_SLOW) / (BETA_FAST - BETA_SLOW), 0, 1)
    pairs = len(frequency)
    # The index f of the pair that turns n times: length · base^(-f / pairs) = n.
    fast, slow = (
      pairs * math.log(length / n) / math.log(self.base) for n in (BETA_FAST, BETA_SLOW)
    )
    first, last = max(math.floor(fast), 0), min(math.ceil(slow), 2 * pairs - 1)
    # A ramp of no width is a step.
    return 1 - jnp.clip((jnp.arange(pairs) - first) / max(last - first, 1e-3), 0, 1)

  def _base(self, turned: int) -> float:
    """Return the base; "ntk" scales it to interpolate only the lowest frequency."""
    if self.scaling != "ntk":
      return self.base
    if turned == 2:
      raise UserError("rope(scaling=ntk) changes nothing where a single pair turns.")
    return float(self.base * self.factor ** (turned / (turned - 2)))
