"""The probe of a model: how far its outputs before a cut depend on tokens after it.

It runs the assembled model, with all of its layers, on the shapes that a run uses. Every
row of a batch has its own cut, and one compiled program serves all cuts.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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
  """The largest dependence on tokens from a cut on; its size is 0 for none."""

  size: float  # Relative to the largest output, or to the largest gradient.
  cut: int = 0
  token: int = 0  # Whose output changes; of a gradient, the token that it is taken by.


class Request(NamedTuple):
  """Inputs of a probe."""

  params: Any  # In the dtype that they are stored in.
  key: Any  # The random key of training, or None.
  batch: Batch
  other: np.ndarray  # [B, T]: tokens to replace those from each cut on.
  cuts: Sequence[int]  # The most important ones first.
  seconds: float = SECONDS  # Time limit after the first `FEWEST` cuts.

  def calls(self) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
    """Yield the changed batch of each call, what lies before the cuts, and the cuts."""
    rows, length = self.batch.inputs.shape
    start = time.monotonic()
    for first in range(0, len(self.cuts), rows):
      if first >= FEWEST and time.monotonic() - start > self.seconds:
        return
      cuts = np.resize(np.asarray(self.cuts[first : first + rows]), rows)
      before = np.arange(length) < cuts[:, None]
      inputs = np.where(before, self.batch.inputs, self.other)
      yield self.batch._replace(inputs=inputs), before, cuts


class Probe:
  """Measures how outputs before a cut depend on the tokens from the cut on.

  Args:
    output: computes the outputs of the model.
  """

  def __init__(self, output: Output):
    self._outputs = {
      training: jax.jit(partial(_outputs, output, training))
      for training in (True, False)
    }
    self._gradients = jax.jit(partial(_gradients, output))

  def change(self, request: Request) -> Reading:
    """Return the largest change of an output before a cut, if tokens are replaced.

    With a random key, the outputs are computed as in training: by the functions that
    custom gradients define for the forward pass.
    """
    params, key, batch, *_ = request
    run = self._outputs[key is not None]
    expected, worst = run(params, key, batch), Reading(0.0)
    for changed, before, cuts in request.calls():
      found = _largest_change(expected, run(params, key, changed), before)
      worst = max(worst, _reading(found, cuts))
    return worst

  def document_change(self, request: Request, separator: int) -> Reading:
    """Return the largest change of an output from a document on, if others are replaced.

    A document begins at each cut; the tokens before it are replaced, but for separators:
    random positions depend on where documents begin.
    """
    params, key, batch, *_ = request
    run, worst = self._outputs[key is not None], Reading(0.0)
    for _, before, cuts in request.calls():
      rows = np.arange(len(cuts))
      own, others = (np.array(x) for x in (batch.inputs, request.other))
      own[rows, cuts] = separator
      replaced = before & (own != separator) & (others != separator)
      expected, outputs = (
        run(params, key, batch._replace(inputs=inputs))
        for inputs in (own, np.where(replaced, others, own))
      )
      found = _largest_change(expected, outputs, ~before)
      worst = max(worst, _reading(found, cuts))
    return worst

  def gradient(self, request: Request) -> Reading:
    """Return the largest gradient of outputs before a cut by a token after it.

    The gradient is of random weighted sums of the outputs, in a random direction of the
    token's embedding.
    """
    params, key, *_ = request
    worst = Reading(0.0)
    for changed, before, cuts in request.calls():
      found = self._gradients(params, key, changed, before)
      worst = max(worst, _reading(found, cuts))
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


def same_program(output: Output, params: Any, key: Any, batch: Batch) -> bool:
  """Return whether the model computes the same with a random key and without."""

  def text(own: Callable[[Any], Any]) -> str:
    return str(jax.make_jaxpr(lambda p, k, b: output(p, own(k), b))(params, key, batch))

  return text(lambda key: key) == text(lambda key: None)


def _outputs(
  output: Output, training: bool, params: Any, key: Any, batch: Batch
) -> jax.Array:
  """Return the outputs [B, T, F]: logits, or the vectors that they are computed from."""

  def run(params: Any) -> jax.Array:
    found = output(params, key, batch)
    vectors = found.vectors if isinstance(found, Head) else found
    return vectors.astype(jnp.float32)

  return jax.vjp(run, params)[0] if training else run(params)


@jax.jit
def _largest_change(expected: Any, outputs: Any, before: Any) -> Any:
  """Return (size, token) [B] of the largest change of each row.

  Rows that are not finite without a change are not judged.
  """
  size = jnp.abs(expected).max(axis=(1, 2), keepdims=True)[..., 0]
  change = jnp.abs(outputs - expected).max(axis=2)
  change = jnp.where(before & jnp.isfinite(size), change, 0)
  change = jnp.where(jnp.isfinite(change), change, jnp.inf) / (size + 1e-30)
  return change.max(axis=1), jnp.argmax(change, axis=1)


def _gradients(output: Output, params: Any, key: Any, batch: Batch, before: Any) -> Any:
  """Return (size, token) [B] of the largest gradient of each row by a token after a cut.

  Rows that are not finite are not judged, nor is an architecture that embeds otherwise
  than by `hk.Embed`.
  """

  def run(offsets: jax.Array) -> jax.Array:
    with hk.intercept_methods(partial(_add_offsets, batch.inputs, offsets)):
      return _outputs(output, False, params, key, batch)

  y, pull = jax.vjp(run, jnp.zeros(batch.inputs.shape))
  weights = _random(y.shape[1])[:, None] * _random(y.shape[2])[None]
  (gradient,) = pull(before[..., None] * weights[None])
  by_token = jnp.abs(gradient)
  largest = by_token.max(axis=1, keepdims=True)
  future = jnp.where(before | ~jnp.isfinite(largest), 0, by_token) / (largest + 1e-30)
  return future.max(axis=1), jnp.argmax(future, axis=1)


def _add_offsets(
  tokens: Any, offsets: Any, method: Any, args: Any, kwargs: Any, context: Any
) -> Any:
  """Call a method; add offsets [B, T], in a random direction, to embeddings of tokens."""
  y = method(*args, **kwargs)
  embeds = isinstance(context.module, hk.Embed) and context.method_name == "__call__"
  if not embeds or not args or args[0] is not tokens:
    return y
  direction = _random(y.shape[-1])[None, None]
  return y + (offsets[..., None] * direction).astype(y.dtype)


def _random(size: int) -> np.ndarray:
  return np.random.default_rng(size).standard_normal(size, np.float32)


def _reading(found: Any, cuts: np.ndarray) -> Reading:
  """Return the largest of (size, token) [B] of the rows."""
  sizes, tokens = map(np.asarray, found)
  row = int(np.argmax(sizes))
  return Reading(float(sizes[row]), int(cuts[row]), int(tokens[row]))
