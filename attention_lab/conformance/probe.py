"""The probe of a model: how far its outputs before a cut depend on tokens after it.

It runs the assembled model, with all of its layers, on the shapes that a run uses. Every
row of a batch has its own cut, and one compiled program serves all cuts.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.dataset.base.dataset import Batch
from attention_lab.nn.cross_entropy import Head

# (parameters, random key or None, batch) → logits [B, T, V], or their Head.
Output = Callable[[Any, Any, Any], Any]

SECONDS = 2.0  # Time for further cuts at one set of parameters.
FEWEST = 16  # Cuts that are tried in any case.
NOISE = 3.0  # Standard deviation of the noise that perturbs parameters, in their own.


class Reading(NamedTuple):
  """The largest dependence on tokens from a cut on: 0 for none."""

  size: (
    float  # Change, relative to the largest output; or gradient, to the largest one.
  )
  cut: int = 0
  token: int = 0  # Whose output changes; of a gradient, the token that it is taken by.


class Readings(NamedTuple):
  """Largest dependences that a probe measures."""

  change: Reading  # Of outputs, if the tokens are replaced.
  gradient: Reading  # Of outputs, with respect to the embeddings of the tokens.


NOTHING = Readings(Reading(0.0), Reading(0.0))


class Probe:
  """Measures how outputs before a cut depend on the tokens from the cut on.

  Args:
    output: computes the outputs of the model.
    differentiated: whether to compute them as in training, for a gradient, which is then
      measured too.
  """

  def __init__(self, output: Output, differentiated: bool):
    self._run = jax.jit(partial(_run, output, differentiated))

  def measure(
    self,
    params: Any,
    key: Any,
    batch: Batch,
    other: np.ndarray,
    cuts: Sequence[int],
    seconds: float = SECONDS,
  ) -> Readings:
    """Return the largest dependence over some cuts.

    Args:
      params: parameters, in the dtype that they are stored in.
      key: the random key of training, or None.
      batch: the batch.
      other: [B, T] tokens to replace those from each cut on.
      cuts: the cuts, the most important ones first.
      seconds: time limit, after which at least `FEWEST` cuts have been tried.
    """
    rows = len(batch.inputs)
    everything = np.ones(batch.inputs.shape, bool)
    expected, _ = self._run(params, key, batch, everything)
    worst, start = NOTHING, time.monotonic()
    for first in range(0, len(cuts), rows):
      if first >= FEWEST and time.monotonic() - start > seconds:
        break
      own = np.resize(np.asarray(cuts[first : first + rows]), rows)
      before = np.arange(batch.inputs.shape[1]) < own[:, None]
      changed = batch._replace(inputs=np.where(before, batch.inputs, other))
      outputs, gradient = self._run(params, key, changed, before)
      found = _compare(expected, outputs, gradient, before)
      worst = _worse(worst, _readings(found, own))
    return worst


def replaced(
  inputs: np.ndarray, vocabulary_size: int, seed: int | tuple[int, ...]
) -> np.ndarray:
  """Return random tokens, each of which differs from that of the inputs: [B, T]."""
  rng = np.random.default_rng(seed)
  step = rng.integers(1, max(2, vocabulary_size), size=inputs.shape)
  return ((inputs + step) % vocabulary_size).astype(inputs.dtype)


def ordered_cuts(length: int, sizes: Iterable[int] = ()) -> list[int]:
  """Return every cut of sequences of a length, the most important ones first.

  These are the cuts next to powers of two and to the first and last multiples of sizes, at
  which blocks, chunks and windows often end.
  """
  powers = [2**i for i in range(3, length.bit_length())]
  edges = [1, length - 1, length // 2]
  for size in dict.fromkeys([*sizes, *reversed(powers)]):
    edges += [edge + i for edge in (size, length // size * size) for i in (0, 1, -1)]
  others = np.random.default_rng(length).permutation(np.arange(1, length))
  return [cut for cut in dict.fromkeys([*edges, *others.tolist()]) if 0 < cut < length]


def perturbed(params: Any, sign: int) -> Any:
  """Return parameters with noise, so that no gate is closed and no part is zero.

  Parameters that are all equal, such as biases, gates and scales, move by 1 to 2 times
  their size, or by 1 to 2 if that is more.

  Args:
    params: the parameters.
    sign: 1 or -1; the noise of one is that of the other with its signs reversed.
  """
  rng = np.random.default_rng(0)

  def add_noise(leaf: Any) -> np.ndarray:
    values = np.asarray(leaf)
    largest, deviation = (
      np.abs(values).max(initial=0),
      values.std() if values.size else 0,
    )
    noise = rng.standard_normal(values.shape, np.float32)
    if deviation <= 1e-6 * largest:
      noise = np.copysign(1 + rng.random(values.shape, np.float32), noise)
      scale = max(1.0, float(largest))
    else:
      scale = NOISE * float(deviation)
    return (values + sign * scale * noise).astype(values.dtype)

  return jax.tree.map(add_noise, params)


def _run(
  output: Output, differentiated: bool, params: Any, key: Any, batch: Batch, before: Any
) -> tuple[jax.Array, jax.Array | None]:
  """Return the outputs [B, T, F], and the gradients of those before a cut [B, T].

  The gradients are of random weighted sums of the outputs, in a random direction of each
  token's embedding. They are None if they are not asked for.
  """

  def outputs(offsets: jax.Array | None) -> jax.Array:
    with hk.intercept_methods(partial(_add_offsets, batch.inputs, offsets)):
      found = output(params, key, batch)
    vectors = found.vectors if isinstance(found, Head) else found
    return vectors.astype(jnp.float32)

  if not differentiated:
    return outputs(None), None
  y, pull = jax.vjp(outputs, jnp.zeros(batch.inputs.shape))
  weights = _random(y.shape[1])[:, None] * _random(y.shape[2])[None]
  (gradient,) = pull(before[..., None] * weights[None])
  return y, gradient


def _add_offsets(
  tokens: Any, offsets: Any, method: Any, args: Any, kwargs: Any, context: Any
) -> Any:
  """Call a method; add offsets [B, T], in a random direction, to embeddings of tokens.

  An architecture that embeds otherwise than by `hk.Embed` has no gradients here.
  """
  y = method(*args, **kwargs)
  embeds = isinstance(context.module, hk.Embed) and context.method_name == "__call__"
  if offsets is None or not embeds or not args or args[0] is not tokens:
    return y
  direction = _random(y.shape[-1])[None, None]
  return y + (offsets[..., None] * direction).astype(y.dtype)


def _random(size: int) -> np.ndarray:
  return np.random.default_rng(size).standard_normal(size, np.float32)


@jax.jit
def _compare(expected: Any, outputs: Any, gradient: Any, before: Any) -> Any:
  """Return (size, token) [B] of the largest change and gradient of each row.

  Of rows that are not finite without a change, nothing is measured.
  """
  size = jnp.abs(expected).max(axis=(1, 2))
  change = jnp.abs(outputs - expected).max(axis=2)
  change = jnp.where(before & jnp.isfinite(size)[:, None], change, 0)
  change = jnp.where(jnp.isfinite(change), change, jnp.inf)
  rows = [change / (size[:, None] + 1e-30)]
  if gradient is not None:
    by_token = jnp.abs(gradient)
    largest = by_token.max(axis=1, keepdims=True)
    future = jnp.where(before | ~jnp.isfinite(largest), 0, by_token)
    rows.append(future / (largest + 1e-30))
  return [(row.max(axis=1), jnp.argmax(row, axis=1)) for row in rows]


def _readings(found: Any, cuts: np.ndarray) -> Readings:
  def largest(sizes: Any, tokens: Any) -> Reading:
    row = int(np.argmax(sizes))
    return Reading(float(sizes[row]), int(cuts[row]), int(tokens[row]))

  both = [largest(*map(np.asarray, pair)) for pair in found]
  return Readings(*both) if len(both) == 2 else Readings(both[0], Reading(0.0))


def _worse(one: Readings, other: Readings) -> Readings:
  return Readings(*(max(pair) for pair in zip(one, other, strict=True)))


def same_program(output: Output, params: Any, key: Any, batch: Batch) -> bool:
  """Return whether the model computes the same with a random key and without."""

  def text(own: Callable[[Any], Any]) -> str:
    return str(jax.make_jaxpr(lambda p, k, b: output(p, own(k), b))(params, key, batch))

  return text(lambda key: key) == text(lambda key: None)
