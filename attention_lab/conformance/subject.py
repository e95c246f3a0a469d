"""What is checked: an attention as pure functions of its parameters, at any sizes."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import watch_weights
from attention_lab.plugin import spec as specs
from attention_lab.position.base.position import Position, positions

HOOKS = ("rotate", "bias")
TRAINED = 32  # Positions in a training example.
SHORT, LONG = 6, 144  # Tokens: LONG is more than a block, a chunk, a training example.
ACROSS = (SHORT, 3)  # Queries and context tokens of cross-attention.
ROOM = 3  # Slots of a decode state that stay empty.


class Sizes(NamedTuple):
  """Heads, their size, and the model's width."""

  num_heads: int = 4
  key_size: int = 4
  d_model: int = 16


class Rotates(Position):
  """Rotates as rope."""

  def rotate(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    return _scheme("rope").rotate(x, positions)


class Biases(Position):
  """Adds alibi's bias."""

  def bias(
    self, query_positions: jax.Array, context_positions: jax.Array, num_heads: int
  ) -> jax.Array | None:
    return _scheme("alibi").bias(query_positions, context_positions, num_heads)


class Both(Rotates, Biases):
  """Does both."""


# The scheme that acts in these hooks and no other.
SCHEMES: dict[tuple[str, ...], type[Position]] = {
  (): Position,
  ("rotate",): Rotates,
  ("bias",): Biases,
  HOOKS: Both,
}


def _scheme(name: str) -> Position:
  return cast(Position, positions.bind(name)(max_length=TRAINED))


class Functions(NamedTuple):
  """Pure functions of the parameters, jitted."""

  init: Any  # key → parameters, as training starts with them
  apply: Any  # (parameters, query, context, mask) → [B, T, D]
  shown: Any  # (parameters, query, context, mask) → that, and a list of [B, N, T, S]
  gradient: (
    Any  # (parameters, x, mask, w) → y, and the gradients of Σ w·y by the first 2
  )
  initial_state: Any  # (parameters, batch, length, dtype) → state
  extend: Any  # (parameters, x, state, positions) → [B, T, D], state
  memorise: Any  # (parameters, context, positions) → memory
  recall: Any  # (parameters, query, positions, memory) → [B, T, D]

  def decode(self, params: Any, x: Any, at: Any, chunks: tuple[int, ...]) -> np.ndarray:
    """[B, T, D], chunk by chunk from an empty state with room for more."""
    batch, length, _ = x.shape
    state = self.initial_state(params, batch, length + ROOM, x.dtype)
    return in_chunks(functools.partial(self.extend, params), state, x, at, chunks)


def in_chunks(
  extend: Callable[..., Any], state: Any, x: Any, at: Any, chunks: tuple[int, ...]
) -> np.ndarray:
  """What (x, state, positions) → (y, state) gives for x, chunk by chunk: [B, T, ...]."""
  x, at = np.asarray(x), np.asarray(at)  # jax would compile each slice.
  outputs, start = [], 0
  for size in chunks:
    part = slice(start, start + size)
    output, state = extend(x[:, part], state, at[:, part])
    outputs.append(np.asarray(output))
    start += size
  return np.concatenate(outputs, axis=1)


Build = Callable[[Position, Sizes], Attention]


class Subject:
  """An attention under examination.

  Args:
    spec: its name and options.
    build: makes it inside a transform; None to build it from `spec`.
    sizes: at which it is tried wherever a law does not ask for others; None for those
      that `build` gives it, or small ones.
    compiler_options: of XLA, for all that it computes; no other program can then take
      it in.
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
    scheme = lambda: Position(max_length=TRAINED)  # noqa: E731
    made = hk.transform(lambda: self.build(scheme(), sizes or Sizes())).apply({}, None)
    self.sizes = Sizes(made.num_heads, made.key_size, made.d_model)
    self.kinds = made.kinds
    self.hooks = tuple(hook for hook in HOOKS if hook in made.honours)
    self.linear_time, self.constant_state = made.linear_time, made.constant_state
    self._cache: dict[Any, Any] = {}

  @property
  def causal(self) -> bool:
    """Whether it is tried as causal attention: wherever it can be."""
    return "causal" in self.kinds

  def functions(
    self, hooks: tuple[str, ...] | None = None, sizes: Sizes | None = None
  ) -> Functions:
    """Its functions under a scheme that acts in these hooks: by default in all that it
    honours."""
    hooks = self.hooks if hooks is None else hooks
    return self.once(("functions", hooks, sizes), lambda: self._make(hooks, sizes))

  def _make(self, hooks: tuple[str, ...], sizes: Sizes | None) -> Functions:
    sizes = sizes or self.sizes

    def methods() -> Any:
      net = self.build(SCHEMES[hooks](max_length=TRAINED), sizes)
      return net.__call__, (
        net.__call__,
        net.initial_state,
        net.extend,
        net.memorise,
        net.recall,
      )

    init, (call, initial_state, *others) = hk.multi_transform(methods)

    def start(key: jax.Array) -> Any:
      x = jnp.zeros((1, SHORT, sizes.d_model))
      return init(key, x, x, self.mask(positions_of(1, SHORT)))

    def apply(params: Any, *arguments: Any) -> Any:
      return call(params, None, *arguments)

    def shown(params: Any, *arguments: Any) -> tuple[jax.Array, list[jax.Array]]:
      with watch_weights() as seen:
        return apply(params, *arguments), seen

    def gradient(params: Any, x: jax.Array, mask: Mask, weights: jax.Array) -> Any:
      def total(params: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        y = apply(params, x, x, mask)
        return jnp.vdot(weights, y), y

      found, y = jax.grad(total, argnums=(0, 1), has_aux=True)(params, x)
      return y, found

    return Functions(
      self._jit(start),
      self._jit(apply),
      self._jit(shown),
      self._jit(gradient),
      lambda params, *arguments: initial_state(params, None, *arguments),
      *(self._jit(functools.partial(_without_key, method)) for method in others),
    )

  def mask(self, at: Any, aligned: bool = False) -> Mask:
    """Of self-attention among tokens at these positions [B, T]."""
    return Mask(at, at, causal=self.causal, aligned=aligned)

  def initial(self, functions: Functions | None = None) -> Any:
    """The parameters that training starts with."""
    f = functions or self.functions()
    return self.once(("initial", f), lambda: f.init(jax.random.key(0)))

  def perturbed(self, functions: Functions | None = None) -> Any:
    """Large random parameters: what is wrong shows, and nothing is 0 by accident."""
    f = functions or self.functions()
    dtype = jnp.result_type(float)  # It differs where a law computes in float64.
    return self.once(("perturbed", f, dtype), lambda: _large(f.init))

  def parameters(self) -> list[tuple[str, Any]]:
    """Both of the above, each with what it is called."""
    return [("initial", self.initial()), ("large random", self.perturbed())]

  def inputs(
    self, batch: int = 2, length: int = SHORT, seed: int = 1, scale: float = 1.0
  ) -> np.ndarray:
    """Random tokens [B, T, D]."""
    shape = (batch, length, self.sizes.d_model)
    values = scale * np.random.default_rng(seed).normal(size=shape)
    return values.astype(jnp.result_type(float))

  def run(self, x: np.ndarray, at: Any = None, params: Any = None) -> np.ndarray:
    """Self-attention of x [B, T, D], with large random parameters unless others are
    given."""
    at = positions_of(*x.shape[:2]) if at is None else at
    params = self.perturbed() if params is None else params
    both = jnp.asarray(x)
    mask = self.mask(jnp.asarray(at))
    return np.asarray(self.functions().apply(params, both, both, mask))

  def gradient(self, x: np.ndarray, at: Any, weights: Any, params: Any) -> Any:
    """Of Σ weights·y [B, T, D] by the parameters and by x: y, and (that, that)."""
    found = self.functions().gradient(params, x, self.mask(at), weights)
    return jax.tree.map(np.asarray, found)

  def once(self, key: Any, make: Callable[[], Any]) -> Any:
    """What `make` gives, made at the first call with this key and kept."""
    if key not in self._cache:
      self._cache[key] = make()
    return self._cache[key]


def _without_key(method: Callable[..., Any], params: Any, *arguments: Any) -> Any:
  return method(params, None, *arguments)


def positions_of(batch: int, length: int, padding: int = 0) -> np.ndarray:
  """[B, T]: 0, 1, 2, … behind so many places of padding."""
  row = np.maximum(np.arange(length, dtype=np.int32) - padding, -1)
  return np.tile(row, (batch, 1))


def cast_to(dtype: Any, tree: Any) -> Any:
  """Every array of a tree in another dtype."""
  return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf).astype(dtype)), tree)


def distance(actual: Any, expected: Any) -> float:
  """The largest difference, as a share of the largest number that was expected."""
  actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
  if not actual.size:
    return 0.0
  if not np.isfinite(actual).all():
    return float("nan")
  return float(np.abs(actual - expected).max() / (np.abs(expected).max() + 1e-30))


def _large(init: Callable[[jax.Array], Any]) -> Any:
  """Random parameters of an initialisation's shapes, without compiling it."""
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), leaf.dtype),
    jax.eval_shape(init, jax.random.key(0)),
  )


def _build(spec: specs.Spec, position: Position, sizes: Sizes) -> Attention:
  return cast(
    Attention,
    attentions.bind(spec)(
      **sizes._asdict(), position=position, w_init=None, output_init=None
    ),
  )
