"""The attention under test: its sizes, parameters, inputs and outputs."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.conformance.functions import Functions, make_functions
from attention_lab.kernel.mask import Mask
from attention_lab.plugin import spec as specs
from attention_lab.position.base.position import Position, positions

HOOKS = ("rotate", "bias")
MAX_LENGTH = 32  # Positions in a training example.
# Tokens. LONG exceeds the usual block and chunk sizes, and MAX_LENGTH.
SHORT, LONG = 6, 144


class Sizes(NamedTuple):
  """Number of heads, size of each head, and width of the model."""

  num_heads: int = 4
  key_size: int = 4
  d_model: int = 16

  def __str__(self) -> str:
    return f"{self.num_heads} heads of size {self.key_size}, d_model {self.d_model}"


class Rotation(Position):
  """Rotates as rope does."""

  def rotate(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    return _scheme("rope").rotate(x, positions)


class Bias(Position):
  """Adds the bias of alibi."""

  def bias(
    self, query_positions: jax.Array, context_positions: jax.Array, num_heads: int
  ) -> jax.Array | None:
    return _scheme("alibi").bias(query_positions, context_positions, num_heads)


class RotationAndBias(Rotation, Bias):
  """Rotates as rope does and adds the bias of alibi."""


# By hooks, the scheme that acts in exactly these.
SCHEMES: dict[tuple[str, ...], type[Position]] = {
  (): Position,
  ("rotate",): Rotation,
  ("bias",): Bias,
  HOOKS: RotationAndBias,
}


def _scheme(name: str) -> Position:
  return cast(Position, positions.bind(name)(max_length=MAX_LENGTH))


Build = Callable[[Position, Sizes], Attention]


class Subject:
  """An attention under test.

  Args:
    spec: name and options of the attention.
    build: makes the attention inside a transform; None to build it from `spec`.
    sizes: sizes for laws that need no particular ones; None for the sizes that `build`
      sets, or small ones.
    compiler_options: XLA options for all computations. They cannot be used inside
      another jitted program.
  """

  def __init__(
    self,
    spec: str,
    build: Build | None = None,
    sizes: Sizes | None = None,
    compiler_options: Mapping[str, Any] | None = None,
  ):
    self._jit = functools.partial(jax.jit, compiler_options=compiler_options)
    self.spec = specs.parse(spec)
    self.build = build or functools.partial(_build, self.spec)
    scheme = lambda: Position(max_length=MAX_LENGTH)  # noqa: E731
    net = hk.transform(lambda: self.build(scheme(), sizes or Sizes())).apply({}, None)
    self.sizes = Sizes(net.num_heads, net.key_size, net.d_model)
    self.kinds = net.kinds
    self.hooks = tuple(hook for hook in HOOKS if hook in net.honours)
    self.linear_time, self.constant_state = net.linear_time, net.constant_state
    self._cache: dict[Any, Any] = {}

  @property
  def causal(self) -> bool:
    """True if the attention is tested with causal masks: if it can be causal."""
    return "causal" in self.kinds

  def functions(self, hooks: tuple[str, ...] | None = None) -> Functions:
    """Return the attention's functions under a scheme that acts in the given hooks.

    By default, the scheme acts in every hook that the attention honours.
    """
    hooks = self.hooks if hooks is None else hooks

    def build() -> Attention:
      return self.build(SCHEMES[hooks](max_length=MAX_LENGTH), self.sizes)

    return self.cached(("functions", hooks), lambda: make_functions(build, self._jit))

  def mask(self, positions: Any, aligned: bool = False) -> Mask:
    """Return the mask of self-attention among tokens at `positions` [B, T]."""
    return Mask(positions, positions, causal=self.causal, aligned=aligned)

  def initial_parameters(self, functions: Functions | None = None) -> Any:
    """Return the parameters that training starts with."""
    f = functions or self.functions()
    arguments = (jax.random.key(0), *self._example())
    return self.cached(("initial", f), lambda: f.init(*arguments))

  def random_parameters(self, functions: Functions | None = None) -> Any:
    """Return large random parameters, none of which is 0 by accident."""
    f = functions or self.functions()
    dtype = jnp.result_type(float)  # One law computes in float64.

    def make() -> Any:
      shapes = jax.eval_shape(f.init, jax.random.key(0), *self._example())
      return _random_like(shapes)

    return self.cached(("random", f, dtype), make)

  def labelled_parameters(self) -> list[tuple[str, Any]]:
    """Return the initial and the random parameters, each with a label."""
    return [
      ("initial", self.initial_parameters()),
      ("large random", self.random_parameters()),
    ]

  def inputs(
    self, batch: int = 2, length: int = SHORT, seed: int = 1, scale: float = 1.0
  ) -> np.ndarray:
    """Return normally distributed token vectors [B, T, D]."""
    shape = (batch, length, self.sizes.d_model)
    values = scale * np.random.default_rng(seed).normal(size=shape)
    return values.astype(jnp.result_type(float))

  def run(self, x: np.ndarray, positions: Any = None, params: Any = None) -> np.ndarray:
    """Return self-attention of x [B, T, D].

    Args:
      x: [B, T, D].
      positions: [B, T]; None for 0, 1, 2, ….
      params: parameters; None for large random ones.
    """
    positions = positions_of(*x.shape[:2]) if positions is None else positions
    params = self.random_parameters() if params is None else params
    both = jnp.asarray(x)
    mask = self.mask(jnp.asarray(positions))
    return np.asarray(self.functions().apply(params, both, both, mask))

  def gradient(self, x: np.ndarray, positions: Any, weights: Any, params: Any) -> Any:
    """Return y [B, T, D], and the gradients of Σ weights·y by parameters and x."""
    result = self.functions().gradient(params, x, self.mask(positions), weights)
    return jax.tree.map(np.asarray, result)

  def cached(self, key: Any, make: Callable[[], Any]) -> Any:
    """Return the result of `make`, computed once for each key."""
    if key not in self._cache:
      self._cache[key] = make()
    return self._cache[key]

  def _example(self) -> tuple[jax.Array, Mask]:
    x = jnp.zeros((1, SHORT, self.sizes.d_model))
    return x, self.mask(positions_of(1, SHORT))


def positions_of(batch: int, length: int, padding: int = 0) -> np.ndarray:
  """Return positions [B, T]: `padding` times -1, then 0, 1, 2, …."""
  row = np.maximum(np.arange(length, dtype=np.int32) - padding, -1)
  return np.tile(row, (batch, 1))


def cast_to(dtype: Any, tree: Any) -> Any:
  """Return a tree of arrays in another dtype."""
  return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf).astype(dtype)), tree)


def distance(actual: Any, expected: Any) -> float:
  """Return the largest absolute difference over the largest absolute expected value."""
  actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
  if not actual.size:
    return 0.0
  if not np.isfinite(actual).all():
    return float("nan")
  return float(np.abs(actual - expected).max() / (np.abs(expected).max() + 1e-30))


def _random_like(shapes: Any) -> Any:
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), leaf.dtype), shapes
  )


def _build(spec: specs.Spec, position: Position, sizes: Sizes) -> Attention:
  return cast(
    Attention,
    attentions.bind(spec)(
      **sizes._asdict(), position=position, w_init=None, output_init=None
    ),
  )
