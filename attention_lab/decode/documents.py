"""Documents while decoding: a separator empties the decode state (no paper).

What stands before a document has no effect on it. So a model that keeps documents apart
decodes as every model does, from an empty state in the rows that begin a document.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from attention_lab.architecture.base.architecture import Model
from attention_lab.kernel.documents import begin_anew


def last_document(positions: jax.Array, starts: jax.Array) -> jax.Array:
  """Return positions of each row's last document, -1 for all before it: [B, T] int32.

  Args:
    positions: [B, T] int32, rising along the row; negative for padding.
    starts: [B, T] bool, whether a token is the first of a document.
  """
  own, segments = begin_anew(positions, starts)
  return jnp.where(segments == segments[:, -1:], own, -1)


def extend_by_one(
  model: Model,
  params: Any,
  tokens: jax.Array,
  state: Any,
  positions: jax.Array,
  empty: Any,
) -> tuple[jax.Array, Any, jax.Array]:
  """Read the next token of each row; a separator begins another document.

  Args:
    model: the architecture as functions.
    params: its parameters.
    tokens: [B].
    state: the decode state.
    positions: [B] int32, of the tokens before these.
    empty: the decode state before the first token.

  Returns:
    Logits [B, V], the next state and the positions of the tokens.
  """
  positions = positions + 1
  if model.separator is not None:
    starts = tokens == model.separator
    positions = jnp.where(starts, 0, positions)
    axes = batch_axes(
      lambda rows: model.initial_state(params, None, rows, 1, jnp.float32), len(tokens)
    )
    state = jax.lax.cond(
      starts.any(), partial(emptied, starts, axes), _kept, state, empty
    )
  at = positions[:, None]
  logits, state = model.extend(params, None, tokens[:, None], state, at)
  return logits[:, -1], state, positions


def emptied(starts: jax.Array, axes: Any, state: Any, empty: Any) -> Any:
  """Return the state with the rows [B] that are true as in an empty one.

  Args:
    starts: [B] bool.
    axes: the axis of rows of each leaf, from `batch_axes`.
    state: the decode state.
    empty: the decode state before the first token.
  """

  def choose(axis: int, state: jax.Array, empty: jax.Array) -> jax.Array:
    if axis < 0:  # It counts slots, which stay in use.
      return state
    shape = [1] * state.ndim
    shape[axis] = len(starts)
    return jnp.where(starts.reshape(shape), empty, state)

  return jax.tree.map(choose, axes, state, empty)


def _kept(state: Any, empty: Any) -> Any:
  del empty
  return state


def batch_axes(start: Callable[[int], Any], rows: int) -> Any:
  """Return each leaf's axis of rows, the one that grows with them; -1 for none.

  Args:
    start: makes the empty decode state of a number of rows; it is traced only.
    rows: number of rows of the state.

  Raises:
    TypeError: a leaf has several such axes.
  """

  def axis(one: Any, other: Any) -> int:
    grown = [i for i in range(one.ndim) if one.shape[i] != other.shape[i]]
    if not grown:
      return -1
    if len(grown) > 1 or one.shape[grown[0]] != rows:
      raise TypeError(
        f"A decode state of {rows} rows has the shape {one.shape}, and one of {rows + 1} "
        f"rows {other.shape}: no one axis is that of the rows."
      )
    return grown[0]

  states = (jax.eval_shape(lambda n=n: start(n)) for n in (rows, rows + 1))
  return jax.tree.map(axis, *states)
