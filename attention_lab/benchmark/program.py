"""One attention at one length as programs to be timed, once its output is right."""

import functools
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.attention.base.attention import Attention
from attention_lab.benchmark.flops import traced_flops
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask, default_positions

DECODED = 16  # Tokens that are decoded one by one in the program that is timed.
CHUNK = 256  # Tokens at a time that the decode state is filled with.
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}  # Of the largest output.


class Program(NamedTuple):
  """A compiled program with its arguments."""

  call: Callable[[], Any]
  memory: int  # Bytes of temporaries.
  flops: int  # FLOPs of the matrix products of one call.
  tokens: int  # Tokens per call.
  steps: int  # Tokens that one call decodes one after another, or 1.


class Bench:
  """An attention over random sequences, as programs to time.

  Args:
    build: builds the attention inside a transform, given the name of a kernel.
    kernel: the kernel to measure.
    batch_size: number of sequences.
    length: tokens per sequence.
    dtype: dtype of the computation.
    causal: whether the attention is causal; if not, it does not decode.
  """

  def __init__(
    self,
    build: Callable[[str], Attention],
    kernel: str,
    batch_size: int,
    length: int,
    dtype: Any,
    causal: bool = True,
  ):
    self._causal = causal
    self.length, self.batch_size = length, batch_size
    self._dtype = jnp.dtype(dtype)
    self._measured = _functions(functools.partial(build, kernel))
    self._plain = _functions(functools.partial(build, "reference"))
    sizes = hk.transform(lambda: (build(kernel).d_model, build(kernel).kinds))
    d_model, self._kinds = sizes.apply({}, None)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(batch_size, length, d_model))
    self._x = jnp.asarray(values, self._dtype)
    few = self._x[:, :2]
    init = jax.jit(self._measured.init)
    self._params = init(jax.random.key(0), few, few, self._mask(2))
    self._at = default_positions(self._x)

  @functools.cached_property
  def programs(self) -> dict[str, Program]:
    """Forward pass, gradient with respect to all inputs, and decoding, by name."""
    tokens = self.batch_size * self.length
    programs = {
      "forward": _compile(self._forward, tokens, 1, self._params, self._x),
      "gradient": _compile(self._gradient, tokens, 1, self._params, self._x),
    }
    if self._causal:
      programs["decode"] = self._decoding()
    return programs

  def _decoding(self) -> Program:
    start = max(0, self.length - DECODED)
    return _compile(
      self._decode,
      self.batch_size * (self.length - start),
      self.length - start,
      self._params,
      self._state(start),
      self._x[:, start:],
      self._at[:, start:],
    )

  def refuse_wrong(self, name: str) -> None:
    """Raise `UserError` unless the last outputs agree with other computations.

    One is the plain formula, for the last queries only if the attention supports that; the
    other, for a causal attention, is decoding.
    """
    last = min(DECODED, self.length)
    whole = self.programs["forward"].call()[:, -last:]
    count = last if self._takes_fewer_queries(last) else self.length
    alone = jax.jit(self._plain.call)(*self._arguments(count))
    others = [(alone[:, -last:], "the plain formula")]
    if self._causal:
      others.append((self.programs["decode"].call(), "decoding"))
    for other, what in others:
      scale = np.abs(np.asarray(other, np.float32)).max() + 1e-30
      error = np.abs(np.asarray(whole - other, np.float32)).max() / scale
      if not error <= TOLERANCE[self._dtype.name]:
        raise UserError(
          f"The output of {name!r} at length {self.length} is off by {error:.2g} from "
          f"{what}; a wrong program is not timed."
        )

  def _arguments(self, count: int) -> tuple[Any, ...]:
    """Return the arguments of a call with the last `count` queries only."""
    mask = Mask(self._at[:, -count:], self._at, causal=self._causal)
    return self._params, None, self._x[:, -count:], self._x, mask

  def _takes_fewer_queries(self, last: int) -> bool:
    """Return whether there may be fewer queries than context tokens.

    A recurrence raises then; attentions that mix the whole length are bidirectional.
    """
    if "cross" not in self._kinds:
      return False
    try:
      jax.eval_shape(self._plain.call, *self._arguments(last))
    except ValueError:
      return False
    return True

  def _mask(self, length: int) -> Mask:
    at = default_positions(self._x[:, :length])
    return Mask(at, at, causal=self._causal, aligned=True)

  def _forward(self, params: Any, x: jax.Array) -> jax.Array:
    y: jax.Array = self._measured.call(params, None, x, x, self._mask(x.shape[1]))
    return y

  def _gradient(self, params: Any, x: jax.Array) -> Any:
    def total(params: Any, x: jax.Array) -> jax.Array:
      y = self._forward(params, x)
      # Unequal weights, so that no gradient is trivial.
      return jnp.vdot(y, jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

    return jax.grad(total, argnums=(0, 1))(params, x)

  def _decode(self, params: Any, state: Any, x: jax.Array, at: jax.Array) -> jax.Array:
    def step(state: Any, token: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
      x, at = token
      y, state = self._measured.extend(params, None, x[:, None], state, at[:, None])
      return state, y[:, 0]

    tokens = (jnp.swapaxes(x, 0, 1), at.T)
    return jnp.swapaxes(jax.lax.scan(step, state, tokens)[1], 0, 1)

  def _state(self, filled: int) -> Any:
    """Return the decode state after `filled` tokens."""
    state = self._measured.initial_state(
      self._params, None, self.batch_size, self.length, self._dtype
    )
    extend = jax.jit(self._measured.extend)
    for start in range(0, filled, CHUNK):
      chunk = slice(start, min(start + CHUNK, filled))
      x, at = self._x[:, chunk], self._at[:, chunk]
      _, state = extend(self._params, None, x, state, at)
    return state


class _Functions(NamedTuple):
  init: Callable[..., Any]
  call: Callable[..., Any]
  initial_state: Callable[..., Any]
  extend: Callable[..., Any]


def _functions(build: Callable[[], Attention]) -> _Functions:
  def methods() -> Any:
    attention = build()
    call = attention.__call__
    return call, (call, attention.initial_state, attention.extend)

  transformed = hk.multi_transform(methods)
  return _Functions(transformed.init, *transformed.apply)


def _compile(
  function: Callable[..., Any], tokens: int, steps: int, *arguments: Any
) -> Program:
  traced = jax.jit(function).trace(*arguments)
  flops, program = traced_flops(traced.jaxpr), traced.lower().compile()
  memory: Any = program.memory_analysis()
  memory_bytes = int(memory.temp_size_in_bytes)
  return Program(lambda: program(*arguments), memory_bytes, flops, tokens, steps)


def fits(memory: int) -> bool:
  """Return whether the first device has this number of bytes available."""
  stats = jax.devices()[0].memory_stats()
  if stats:
    return bool(memory < stats["bytes_limit"] - stats["bytes_in_use"])
  return memory < os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
