"""An attention as a Flax Linen module."""

from typing import Any, Unpack

from flax import linen as nn
from jaxtyping import Array, Float

from attention_lab.api.functions import Functions, Parameters
from attention_lab.api.layer import DecodeState
from attention_lab.api.masking import Masking


class LinenAttention(nn.Module):
  """An attention of `attention_lab.functions`, whose parameters are one variable."""

  functions: Functions

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "B T D"],
    context: Float[Array, "B S D"] | None = None,
    **masking: Unpack[Masking],
  ) -> Float[Array, "B T D"]:
    """Attend: [B, T, D] → [B, T, D], as `AttentionLayer`.

    The random key "dropout" turns dropout on.

    Args:
      x: [B, T, D].
      context: [B, S, D], or None for x itself.
      **masking: padding, context_padding, segments and num_segments.
    """
    params = self.param("attention", self.functions.init, x, context)
    key = self.make_rng("dropout") if self.has_rng("dropout") else None
    return self.functions.apply(params, x, context, key=key, **masking)

  def initial_state(
    self, batch_size: int, length: int, dtype: Any = None
  ) -> DecodeState:
    """Return the empty decode state; see `AttentionLayer.initial_state`."""
    params: Parameters = self.get_variable("params", "attention")
    return self.functions.decode.init(params, batch_size, length, dtype)

  def extend(self, state: DecodeState, x: Array) -> tuple[Array, DecodeState]:
    """Return the next tokens' results and state; see `AttentionLayer.extend`."""
    params: Parameters = self.get_variable("params", "attention")
    return self.functions.decode.step(params, state, x)
