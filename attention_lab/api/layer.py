"""One attention as a Haiku module, with masks made of padding and segments."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import haiku as hk
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from attention_lab.api.masking import (
  count_segments,
  join_segments,
  positions_of,
  refuse_together,
  refuse_vectors,
  rows_of_segments,
)
from attention_lab.api.parts import Recipe, refuse
from attention_lab.architecture.base.mixing import self_mask
from attention_lab.attention.base.attention import Attention
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask, default_positions
from attention_lab.nn.module import Module
from attention_lab.position.base.position import shared_sample

Result = TypeVar("Result")


class DecodeState(NamedTuple):
  """Decode state of an attention: a tree of arrays."""

  attention: Any  # State of the attention itself.
  positions: Int[Array, " B"]  # Position of each row's next token.
  room: Int[Array, ""]  # Tokens for which there is room.


class AttentionLayer(Module):
  """One attention: `attention_lab.attention` makes it, inside a transform.

  Its parameters are those of the attention in a model, under its own name.
  """

  def __init__(self, recipe: Recipe):
    super().__init__(name=recipe.name)
    self._recipe = recipe
    self._parts = recipe.parts
    self._d_model = recipe.d_model
    self._causal = recipe.causal

  def __call__(
    self,
    x: Float[Array, "B T D"],
    context: Float[Array, "B S D"] | None = None,
    *,
    padding: Bool[Array, "B T"] | None = None,
    context_padding: Bool[Array, "B S"] | None = None,
    segments: Int[Array, "B T"] | None = None,
    num_segments: int | None = None,
  ) -> Float[Array, "B T D"]:
    """Attend from every token of x to the tokens of x, or of a context.

    A token's position is the number of real tokens before it, so padding may be anywhere.

    Args:
      x: [B, T, D].
      context: [B, S, D] of another sequence, for cross-attention; None for x itself.
      padding: bool [B, T], True where a token is real and False where it is padding, whose
        results are finite and mean nothing. None if all are real.
      context_padding: the same for the context, [B, S].
      segments: int [B, T], the number of each token's segment: 0, 1, 2, … in each row,
        and negative for padding. Tokens attend to their own segment alone, as if each were
        a row of its own, and that is how it is computed: with time and memory of
        `num_segments` times as many rows.
      num_segments: the most segments that a row has; None to count them, which jit does
        not allow. Results for the segments from this number on are NaN.

    Returns:
      [B, T, D] of x's dtype, or of the `dtype` of the attention.

    Raises:
      UserError: shapes, dtypes or arguments do not go together, or the attention is not of
        the required kind.
    """
    refuse_vectors("x", x, self._d_model, None)
    if segments is not None:
      refuse_together(segments=segments, context=context)
      refuse_together(segments=segments, padding=padding)
      return self._by_segments(x, segments, num_segments)
    if num_segments is not None:
      raise UserError("num_segments belongs to segments: pass both, or neither.")
    if context is not None:
      return self._cross(x, context, padding, context_padding)
    if context_padding is not None:
      raise UserError("context_padding belongs to a context: pass it, or use padding.")
    return self._own(x, positions_of("padding", padding, x))

  def initial_state(
    self, batch_size: int, length: int, dtype: Any = None
  ) -> DecodeState:
    """Return the empty decode state.

    Args:
      batch_size: number of rows, B.
      length: most tokens of a row, padding included.
      dtype: dtype of the tokens' vectors; None for the attention's, or else float32.

    Raises:
      UserError: the attention is not causal, or its `d_model` was not given.
    """
    self._refuse_decoding()
    if self._d_model is None:
      raise UserError(
        "A decode state needs the width: pass d_model=… to the attention."
      )
    dtype = dtype or self._parts.dtype or jnp.float32
    state = self._run(
      self._d_model, lambda net: net.initial_state(batch_size, length, dtype)
    )
    start = jnp.zeros(batch_size, jnp.int32)
    return DecodeState(state, start, jnp.asarray(length, jnp.int32))

  def extend(
    self,
    state: DecodeState,
    x: Float[Array, "B *T D"],
    *,
    padding: Bool[Array, "B T"] | None = None,
  ) -> tuple[Float[Array, "B *T D"], DecodeState]:
    """Attend from the next tokens to themselves and to all before, as the full pass does.

    Args:
      state: from `initial_state` or the call before.
      x: the next T tokens [B, T, D], or the next one [B, D].
      padding: bool [B, T], True where a token is real, for rows of different lengths.

    Returns:
      [B, T, D] or [B, D], as x, and the next state. Results are NaN for tokens beyond the
      length of the state.

    Raises:
      UserError: shapes or dtypes do not go together.
    """
    self._refuse_decoding()
    if jnp.ndim(x) == 2:
      y, state = self.extend(state, x[:, None], padding=padding)
      return y[:, 0], state
    refuse_vectors("x", x, self._d_model, len(state.positions), "the state")
    at = positions_of("padding", padding, x, state.positions)
    assert at is not None
    x = self._cast(x)
    y, inner = self._run(x.shape[-1], lambda net: net.extend(x, state.attention, at))
    room = state.room - x.shape[1]
    y = jnp.where(room >= 0, y, jnp.nan)
    after = state.positions + (at >= 0).sum(axis=1, dtype=jnp.int32)
    return y, DecodeState(inner, after, room)

  def _own(self, x: Array, positions: Array | None) -> Array:
    self._parts.refuse_kind("causal" if self._causal else "bidirectional")
    x = self._cast(x)
    mask = self_mask(x, positions, causal=self._causal)
    return self._run(x.shape[-1], lambda net: net(x, x, mask))

  def _cross(
    self, x: Array, context: Array, padding: Any, context_padding: Any
  ) -> Array:
    refuse_vectors("context", context, x.shape[-1], len(x))
    if self._causal:
      raise UserError(
        "Cross-attention is not causal: omit the context, or causal=True."
      )
    self._parts.refuse_kind("cross")
    x, context = self._cast(x), self._cast(context)
    at = positions_of("padding", padding, x)
    context_at = positions_of("context_padding", context_padding, context)
    mask = Mask(
      default_positions(x) if at is None else at,
      default_positions(context) if context_at is None else context_at,
      causal=False,
    )
    return self._run(x.shape[-1], lambda net: net(x, context, mask))

  def _by_segments(self, x: Array, segments: Any, num_segments: int | None) -> Array:
    if not self._parts.attention.ignores_padding:
      raise UserError(
        f"The attention {self._parts.spec!r} depends on how much padding there is, so it "
        f"cannot keep segments apart: pass each as a row of its own length."
      )
    count = count_segments(segments, num_segments, x)
    rows, padding = rows_of_segments(x, jnp.asarray(segments), count)
    y = self._own(rows, positions_of("segments", padding, rows))
    return join_segments(y, jnp.asarray(segments), count)

  def _refuse_decoding(self) -> None:
    if not self._causal:
      raise UserError("Only causal attention decodes: pass causal=True.")
    self._parts.refuse_kind("causal")

  def _cast(self, x: Array) -> Array:
    return jnp.asarray(x, self._parts.dtype)

  def _run(self, d_model: int, use: Callable[[Attention], Result]) -> Result:
    """Return the result of a function of the attention, which is built as in a model."""
    refuse(self._parts, d_model, self._causal)
    with hk.name_scope("sampler"):  # The names of others do not depend on it.
      sampler = self._parts.make_scheme()
    with _computing_in(self._parts.dtype), shared_sample(sampler):
      attention = self._parts.build(
        d_model,
        w_init=self._recipe.w_init,
        output_init=self._recipe.output_init,
        name=hk.force_name(self.module_name),
      )
      return use(attention)


@contextlib.contextmanager
def _computing_in(dtype: Any) -> Iterator[None]:
  """Cast parameters, which are stored in float32, to a dtype; None to leave them."""
  if dtype is None:
    yield
    return

  def create(following: Any, shape: Any, _: Any, init: Any, context: Any) -> Array:
    del context
    return following(shape, jnp.float32, init)

  def cast(following: Any, value: Any, context: Any) -> Array:
    del context
    return following(value).astype(dtype)

  with hk.custom_creator(create), hk.custom_getter(cast):
    yield
