"""Padding and segments of a call, as positions; and refusals of wrong inputs."""

from typing import Any, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from attention_lab.errors import UserError


class Masking(TypedDict, total=False):
  """Keywords of a call that say which tokens exist, and which belong together."""

  padding: Bool[Array, "B T"] | None  # True where a token of x is real.
  context_padding: Bool[Array, "B S"] | None  # True where a token of context is real.
  segments: Int[Array, "B T"] | None  # From 0 on, in each row; negative for padding.
  num_segments: int | None  # Most segments of a row; static.


def refuse_vectors(
  name: str, x: Any, d_model: int | None, batch: int | None, other: str = "x"
) -> None:
  """Raise `UserError` unless x is a floating-point array [B, T, D].

  Args:
    name: what it is called.
    x: the array.
    d_model: D, or None for any.
    batch: B, or None for any.
    other: what has this number of rows.
  """
  shape, dtype = jnp.shape(x), jnp.result_type(x)
  if len(shape) != 3:
    raise UserError(
      f"{name} has shape {shape}, but must be [batch, length, d_model]. "
      f"Without a batch, pass {name}[None]."
    )
  if not jnp.issubdtype(dtype, jnp.floating):
    raise UserError(
      f"{name} is {dtype}, but must be floating-point. Embed tokens before the attention."
    )
  if d_model is not None and shape[2] != d_model:
    raise UserError(f"{name} has width {shape[2]}, but d_model={d_model}.")
  if batch is not None and shape[0] != batch:
    raise UserError(f"{name} has {shape[0]} rows, but {other} has {batch}.")


def positions_of(
  name: str, padding: Any, x: Array, before: Array | None = None
) -> Int[Array, "B T"] | None:
  """Return positions that count the real tokens of each row, and -1 for padding.

  Args:
    name: what the padding is called.
    padding: bool [B, T], True where a token is real; None if all are.
    x: [B, T, D].
    before: real tokens of each row before these, int32 [B]; None for none.

  Returns:
    [B, T] int32; None for 0, 1, 2, ….

  Raises:
    UserError: another shape or dtype.
  """
  if padding is None and before is None:
    return None
  if padding is None:
    padding = jnp.ones(x.shape[:2], bool)
  _refuse_other(name, padding, x, jnp.bool_, "True where a token is real")
  positions = jnp.cumsum(padding, axis=1, dtype=jnp.int32) - 1
  if before is not None:
    positions += before[:, None]
  return jnp.where(padding, positions, -1)


def count_segments(segments: Any, num_segments: int | None, x: Array) -> int:
  """Return the number of segments that a row may have.

  Raises:
    UserError: segments have another shape or dtype, or their number is unknown under jit.
  """
  meaning = "the number of a token's segment, and negative for padding"
  _refuse_other("segments", segments, x, jnp.integer, meaning)
  if num_segments is None:
    if isinstance(segments, jax.core.Tracer):
      raise UserError(
        "Under jit the number of segments is unknown: pass num_segments=…, the most that "
        "a row has."
      )
    return max(1, int(np.max(segments)) + 1)
  refuse_size("num_segments", num_segments)
  return num_segments


def refuse_together(**given: Any) -> None:
  """Raise `UserError` if more than one of two arguments is given."""
  first, second = given
  if all(value is not None for value in given.values()):
    raise UserError(f"{first} and {second} cannot be combined; omit one of the two.")


def refuse_size(name: str, value: Any) -> None:
  """Raise `UserError` unless a size is a whole number from 1 on."""
  if type(value) is not int or value < 1:
    raise UserError(f"{name}={value!r}: take a whole number from 1 on.")


def _refuse_other(name: str, array: Any, x: Array, kind: Any, meaning: str) -> None:
  shape, dtype = jnp.shape(array), jnp.result_type(array)
  if shape == x.shape[:2] and jnp.issubdtype(dtype, kind):
    return
  word = "bool" if kind is jnp.bool_ else "int"
  raise UserError(
    f"{name} is {dtype}{list(shape)}, but must be {word}{list(x.shape[:2])}: {meaning}."
  )


def rows_of_segments(
  x: Float[Array, "B T D"], segments: Int[Array, "B T"], count: int
) -> tuple[Float[Array, "B*M T D"], Bool[Array, "B*M T"]]:
  """Return each row once per segment, with all tokens of others as padding."""
  own = segments[:, None] == jnp.arange(count)[None, :, None]
  return jnp.repeat(x, count, axis=0), own.reshape(-1, x.shape[1])


def join_segments(
  y: Float[Array, "B*M T D"], segments: Int[Array, "B T"], count: int
) -> Float[Array, "B T D"]:
  """Return the result of each token's own segment; NaN for a segment from `count` on."""
  y = y.reshape(len(segments), count, *y.shape[1:])
  chosen = jnp.maximum(segments, 0)[:, None, :, None]
  return jnp.take_along_axis(y, chosen, axis=1, mode="fill")[:, 0]
