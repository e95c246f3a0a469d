"""An attention as a Flax NNX module."""

from typing import Any, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from attention_lab.api.functions import functions
from attention_lab.api.layer import DecodeState
from attention_lab.api.masking import Masking


class Attention(nnx.Module):
  """An attention whose parameters are `nnx.Param`s.

  Args:
    attention: name, spec or class, as for `attention_lab.attention`.
    d_model: width of the vectors.
    rngs: random keys, of which `params` initialises.
    **settings: further keywords of `attention_lab.attention`.
  """

  def __init__(
    self, attention: Any = "standard", *, d_model: int, rngs: nnx.Rngs, **settings: Any
  ):
    self.functions = functions(attention, d_model=d_model, **settings)
    fresh = self.functions.init(rngs.params(), jnp.zeros((1, 1, d_model)))
    self.params = nnx.data(jax.tree.map(nnx.Param, fresh))

  def __call__(
    self,
    x: Float[Array, "B T D"],
    context: Float[Array, "B S D"] | None = None,
    *,
    rngs: nnx.Rngs | None = None,
    **masking: Unpack[Masking],
  ) -> Float[Array, "B T D"]:
    """Attend: [B, T, D] → [B, T, D], as `AttentionLayer`.

    Args:
      x: [B, T, D].
      context: [B, S, D], or None for x itself.
      rngs: random keys, of which `dropout` turns dropout on; None for none.
      **masking: padding, context_padding, segments and num_segments.
    """
    key = None if rngs is None else rngs.dropout()
    return self.functions.apply(self._arrays, x, context, key=key, **masking)

  @property
  def _arrays(self) -> Any:
    """The parameters without their variables."""
    is_variable = lambda x: isinstance(x, nnx.Variable)  # noqa: E731
    return jax.tree.map(lambda x: x[...], self.params, is_leaf=is_variable)

  def initial_state(
    self, batch_size: int, length: int, dtype: Any = None
  ) -> DecodeState:
    """Return the empty decode state; see `AttentionLayer.initial_state`."""
    init = self.functions.decode.init
    return init(self._arrays, batch_size, length, dtype)

  def extend(self, state: DecodeState, x: Array) -> tuple[Array, DecodeState]:
    """Return the next tokens' results and state; see `AttentionLayer.extend`."""
    return self.functions.decode.step(self._arrays, state, x)
