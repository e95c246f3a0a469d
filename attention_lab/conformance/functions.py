"""An attention as pure, jitted functions of its parameters."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import numpy as np

from attention_lab.attention.base.attention import Attention
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import watch_weights

SPARE = 3  # Slots of a decode state that usually stay empty.


class Functions(NamedTuple):
  """Pure functions of an attention's parameters.

  In self-attention, query and context are the same array, as in a model.
  """

  init: Any  # (key, x, mask) → initial parameters
  apply: Any  # (parameters, x, mask, key or None) → [B, T, D]
  cross: Any  # (parameters, query, context, mask) → [B, T, D]
  weights: Any  # (parameters, x, mask) → [B, T, D], list of [B, N, T, S]
  # (parameters, x, mask, w, key or None) → y, gradients of Σ w·y by parameters and x
  gradient: Any
  # (parameters, query, context, mask, w) → y, gradients by parameters, query, context
  cross_gradient: Any
  initial_state: Any  # (parameters, batch, length, dtype) → state
  extend: Any  # (parameters, x, state, positions) → [B, T, D], state
  memorise: Any  # (parameters, context, positions) → memory
  recall: Any  # (parameters, query, positions, memory) → [B, T, D]

  def decode(
    self,
    params: Any,
    x: Any,
    positions: Any,
    chunks: tuple[int, ...],
    spare: int = SPARE,
  ) -> np.ndarray:
    """Return outputs [B, T, D] decoded in chunks, in a state with `spare` more slots."""
    batch, length, _ = x.shape
    state = self.initial_state(params, batch, length + spare, x.dtype)
    extend = functools.partial(self.extend, params)
    return in_chunks(extend, state, x, positions, chunks)


def in_chunks(
  extend: Callable[..., Any],
  state: Any,
  x: Any,
  positions: Any,
  chunks: tuple[int, ...],
) -> np.ndarray:
  """Apply (x, state, positions) → (y, state) to x in chunks; return y [B, T, ...].

  Args:
    extend: function to apply to each chunk.
    state: state before the first chunk.
    x: [B, T, ...].
    positions: [B, T].
    chunks: length of each chunk; they sum to T.
  """
  x, positions = np.asarray(x), np.asarray(positions)  # JAX would compile each slice.
  outputs, start = [], 0
  for size in chunks:
    chunk = slice(start, start + size)
    output, state = extend(x[:, chunk], state, positions[:, chunk])
    outputs.append(np.asarray(output))
    start += size
  return np.concatenate(outputs, axis=1)


def make_functions(
  build: Callable[[], Attention], jit: Callable[..., Any]
) -> Functions:
  """Transform the attention that `build` makes and compile its methods with `jit`."""

  def methods() -> Any:
    net = build()
    call = net.__call__
    return call, (call, net.initial_state, net.extend, net.memorise, net.recall)

  transformed = hk.multi_transform(methods)
  call = transformed.apply[0]
  cross, initial_state, extend, memorise, recall = map(_without_key, transformed.apply)

  def init(key: jax.Array, x: jax.Array, mask: Mask) -> Any:
    return transformed.init(key, x, x, mask)

  def apply(params: Any, x: jax.Array, mask: Mask, key: Any = None) -> jax.Array:
    return call(params, key, x, x, mask)

  def weights(params: Any, x: jax.Array, mask: Mask) -> Any:
    with watch_weights() as watched:
      return apply(params, x, mask), watched

  def gradient(
    params: Any, x: jax.Array, mask: Mask, w: jax.Array, key: Any = None
  ) -> Any:
    return _gradient(lambda params, x: apply(params, x, mask, key), w, params, x)

  def cross_gradient(
    params: Any, query: jax.Array, context: jax.Array, mask: Mask, w: jax.Array
  ) -> Any:
    def run(params: Any, query: jax.Array, context: jax.Array) -> jax.Array:
      return cross(params, query, context, mask)

    return _gradient(run, w, params, query, context)

  return Functions(
    init=jit(init),
    apply=jit(apply),
    cross=jit(cross),
    weights=jit(weights),
    gradient=jit(gradient),
    cross_gradient=jit(cross_gradient),
    initial_state=initial_state,
    extend=jit(extend),
    memorise=jit(memorise),
    recall=jit(recall),
  )


def _gradient(run: Callable[..., jax.Array], w: jax.Array, *arguments: Any) -> Any:
  """Return y = run(*arguments), and the gradients of Σ w·y by all arguments."""

  def total(*arguments: Any) -> tuple[jax.Array, jax.Array]:
    y = run(*arguments)
    return (w * y).sum(), y

  every = tuple(range(len(arguments)))
  gradients, y = jax.grad(total, argnums=every, has_aux=True)(*arguments)
  return y, gradients


def _without_key(method: Callable[..., Any]) -> Callable[..., Any]:
  return lambda params, *arguments: method(params, None, *arguments)
