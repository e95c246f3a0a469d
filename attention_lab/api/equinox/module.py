"""An attention as an Equinox module."""

from typing import Any, Unpack

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from attention_lab.api.functions import Functions, Parameters, functions
from attention_lab.api.layer import DecodeState
from attention_lab.api.masking import Masking


class Attention(eqx.Module):
  """An attention whose parameters are leaves of the module.

  Args:
    attention: name, spec or class, as for `attention_lab.attention`.
    d_model: width of the vectors.
    key: random key that initialises.
    **settings: further keywords of `attention_lab.attention`.
  """

  functions: Functions = eqx.field(static=True)
  params: Parameters

  def __init__(
    self,
    attention: Any = "standard",
    *,
    d_model: int,
    key: Key[Array, ""],
    **settings: Any,
  ):
    self.functions = functions(attention, d_model=d_model, **settings)
    self.params = self.functions.init(key, jnp.zeros((1, 1, d_model)))

  def __call__(
    self,
    x: Float[Array, "B T D"],
    context: Float[Array, "B S D"] | None = None,
    *,
    key: Key[Array, ""] | None = None,
    **masking: Unpack[Masking],
  ) -> Float[Array, "B T D"]:
    """Attend: [B, T, D] → [B, T, D], as `AttentionLayer`; other modules take one row.

    Args:
      x: [B, T, D].
      context: [B, S, D], or None for x itself.
      key: random key that turns dropout on; None for none.
      **masking: padding, context_padding, segments and num_segments.
    """
    return self.functions.apply(self.params, x, context, key=key, **masking)

  def initial_state(
    self, batch_size: int, length: int, dtype: Any = None
  ) -> DecodeState:
    """Return the empty decode state; see `AttentionLayer.initial_state`."""
    return self.functions.decode.init(self.params, batch_size, length, dtype)

  def extend(self, state: DecodeState, x: Array) -> tuple[Array, DecodeState]:
    """Return the next tokens' results and state; see `AttentionLayer.extend`."""
    return self.functions.decode.step(self.params, state, x)
