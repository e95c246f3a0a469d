"""The attention under test: its sizes, parameters, inputs and outputs."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.conformance.functions import Functions, make_functions
from attention_lab.conformance.inputs import BATCH, SHORT, positions_of
from attention_lab.conformance.schemes import (
  HOOKS,
  MAX_LENGTH,
  SCHEMES,
  properties_of_scheme,
)
from attention_lab.conformance.sizes import CANDIDATES, Build, Sizes, first_accepted
from attention_lab.kernel.mask import Mask
from attention_lab.plugin import spec as specs
from attention_lab.position.base.position import Position, positions

# Optimisation does not change which tokens an output depends on, and the programs run
# only a few times, so compile time matters more than speed.
FAST_COMPILATION: dict[str, Any] = {
  "xla_backend_optimization_level": 0,
  "xla_llvm_disable_expensive_passes": True,
}
if jax.__version_info__ < (0, 11):
  # Without these emitters, it compiles in half the time. With them, it computes some
  # bfloat16 softmaxes wrongly at level 0, such as Equinox's.
  FAST_COMPILATION["xla_cpu_use_fusion_emitters"] = False
DEPTHS = ("full", "quick")


# Compiles a function with these options.
fast_jit = functools.partial(jax.jit, compiler_options=FAST_COMPILATION)


class Subject:
  """An attention under test.

  Args:
    spec: name and options of the attention.
    build: makes the attention inside a transform; None to build it from `spec`.
    sizes: sizes for laws that need no particular ones; None for the first of `CANDIDATES`
      that the attention accepts.
    depth: "full" or "quick", which tests the cases that most often fail.
    position: positional scheme, with options, that all laws use; None for the rotation of
      rope and the bias of alibi, as far as the attention honours them.
    attention: class of the attention; None for the one that is registered.
    first_length: tokens of the first call.
  """

  def __init__(
    self,
    spec: str,
    build: Build | None = None,
    sizes: Sizes | None = None,
    depth: str = "full",
    position: str | None = None,
    attention: type[Attention] | None = None,
    first_length: int = SHORT,
  ):
    self.spec = specs.parse(spec)
    self.build = build or functools.partial(_build, self.spec, attention)
    self._given = build, attention
    self.position, self.full = position, depth == "full"
    self._cache: dict[Any, Any] = {}
    candidates = [sizes] if sizes else CANDIDATES
    net = first_accepted(self.build, candidates, first_length)
    self.cls = type(net)
    self.sizes = Sizes(net.num_heads, net.key_size, net.d_model)
    self.kinds = net.kinds
    self.causal = "causal" in self.kinds  # Whether it is tested with causal masks.
    # Whether the masks of self-attention are causal, for each way to test it.
    self.modes = [True, False] if _is_both(self.kinds) else [self.causal]
    self.linear_time, self.constant_state = net.linear_time, net.constant_state
    self.sees_itself, self.smooth = net.sees_itself, net.smooth
    self.relative = net.relative
    # Functions of other frameworks may support neither padding nor decoding.
    self.ignores_padding = net.ignores_padding
    self.separates_documents = net.separates_documents
    self.honours_prefix = net.honours_prefix
    self.takes_padding = getattr(net, "takes_padding", True)
    self.decodes = self.causal and getattr(net, "decodes", True)
    scheme = properties_of_scheme(position)
    self.honours = net.honours
    honoured = scheme.hooks & set(net.honours)
    self.hooks = tuple(hook for hook in HOOKS if hook in honoured)
    self.reach = scheme.reach or 2**31  # Largest length that the scheme supports.
    self.values = _option_values(net)

  def functions(
    self, hooks: tuple[str, ...] | None = None, prefix: int = 0
  ) -> Functions:
    """Return the attention's jitted functions under a positional scheme.

    Args:
      hooks: hooks in which the scheme acts; None for the scheme under test.
      prefix: tokens of the prefix that `extend` honours.
    """

    def build() -> Attention:
      net = self._builder(hooks)()
      net.prefix_length = prefix
      return net

    key = ("functions", hooks, prefix)
    return self.cached(key, lambda: make_functions(build, fast_jit))

  def plain_functions(self, max_length: int = MAX_LENGTH) -> Functions:
    """Return the functions without jit, for use in programs that are jitted as a whole.

    Args:
      max_length: positions in a training example.
    """

    def make() -> Functions:
      return make_functions(self._builder(None, max_length), lambda function: function)

    return self.cached(("plain functions", max_length), make)

  def fresh_functions(self) -> Functions:
    """Return functions that no cache knows, so that every call is traced again."""
    return make_functions(self._builder(None), fast_jit)

  def mask(
    self, positions: Any, aligned: bool = False, causal: bool | None = None
  ) -> Mask:
    """Return the mask of self-attention among tokens at `positions` [B, T]."""
    causal = self.causal if causal is None else causal
    return Mask(positions, positions, causal=causal, aligned=aligned)

  def initial_parameters(self, functions: Functions | None = None) -> Any:
    """Return the parameters that training starts with."""
    f = functions or self.functions()
    arguments = (jax.random.key(0), *self._example())
    return self.cached(("initial", f), lambda: f.init(*arguments))

  def random_parameters(self, functions: Functions | None = None) -> Any:
    """Return large random parameters, none of which is 0 by accident."""
    f = functions or self.functions()
    dtype = jnp.result_type(float)  # Some laws compute in float64.

    def make() -> Any:
      shapes = jax.eval_shape(f.init, jax.random.key(0), *self._example())
      return _random_like(shapes)

    return self.cached(("random", f, dtype), make)

  def labelled_parameters(self) -> list[tuple[str, Any]]:
    """Return the initial and the random parameters, each with a label."""
    initial, random = self.initial_parameters(), self.random_parameters()
    return [("initial", initial), ("large random", random)]

  def inputs(
    self, batch: int = BATCH, length: int = SHORT, seed: int = 1, scale: float = 1.0
  ) -> np.ndarray:
    """Return normally distributed token vectors [B, T, D]."""
    shape = (batch, length, self.sizes.d_model)
    values = scale * np.random.default_rng(seed).normal(size=shape)
    return values.astype(jnp.result_type(float))

  def run(
    self,
    x: np.ndarray,
    positions: Any = None,
    params: Any = None,
    *,
    aligned: bool = False,
    causal: bool | None = None,
    key: jax.Array | None = None,
  ) -> np.ndarray:
    """Return self-attention of x [B, T, D].

    Args:
      x: [B, T, D].
      positions: [B, T]; None for 0, 1, 2, ….
      params: parameters; None for large random ones.
      aligned: whether the mask says that the positions are 0, 1, 2, ….
      causal: whether the mask is causal; None if the attention can be causal.
      key: random key; None for none.
    """
    positions = positions_of(*x.shape[:2]) if positions is None else positions
    params = self.random_parameters() if params is None else params
    mask = self.mask(jnp.asarray(positions), aligned, causal)
    return np.asarray(self.functions().apply(params, jnp.asarray(x), mask, key))

  def gradient(
    self,
    x: np.ndarray,
    positions: Any,
    weights: Any,
    params: Any,
    *,
    aligned: bool = False,
    key: jax.Array | None = None,
  ) -> Any:
    """Return y [B, T, D], and the gradients of Σ weights·y by parameters and x."""
    mask = self.mask(positions, aligned)
    result = self.functions().gradient(params, x, mask, weights, key)
    return jax.tree.map(np.asarray, result)

  def cached(self, key: Any, make: Callable[[], Any]) -> Any:
    """Return the result of `make`, computed once for each key."""
    if key not in self._cache:
      self._cache[key] = make()
    return self._cache[key]

  def variant(
    self, sizes: Sizes | None = None, position: str | None = None, **options: Any
  ) -> "Subject":
    """Return the attention with other sizes, another scheme or other options.

    Raises:
      UserError: the attention refuses them.
    """
    build, attention = self._given
    sizes, position = sizes or self.sizes, position or self.position
    spec = str(specs.Spec(self.spec.name, {**self.spec.options, **options}))

    def make() -> Subject:
      return Subject(
        spec,
        None if options else build,
        sizes,
        depth="full" if self.full else "quick",
        position=position,
        attention=attention,
      )

    return self.cached(("variant", spec, sizes, position), make)

  def _builder(
    self, hooks: tuple[str, ...] | None, max_length: int = MAX_LENGTH
  ) -> Callable[[], Attention]:
    if hooks is None and self.position is not None:
      scheme = positions.bind(self.position)
    else:
      scheme = SCHEMES[self.hooks if hooks is None else hooks]
    return lambda: self.build(scheme(max_length=max_length), self.sizes)

  def _example(self) -> tuple[jax.Array, Mask]:
    x = jnp.zeros((1, SHORT, self.sizes.d_model))
    return x, self.mask(positions_of(1, SHORT))


def _random_like(shapes: Any) -> Any:
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: jnp.asarray((0.5 * rng.normal(size=leaf.shape)).astype(leaf.dtype)),
    shapes,
  )


def _build(
  spec: specs.Spec, cls: type[Attention] | None, position: Position, sizes: Sizes
) -> Attention:
  bound = functools.partial(cls, **spec.options) if cls else attentions.bind(spec)
  given: dict[str, Any] = {"position": position, "w_init": None, "output_init": None}
  given |= {"layer": 2, "num_layers": 2}  # In the first layer, some options do nothing.
  return cast(Attention, bound(**sizes._asdict(), **given))


def _is_both(kinds: Sequence[str]) -> bool:
  return "causal" in kinds and "bidirectional" in kinds


def _option_values(net: Attention) -> dict[str, Any]:
  """Return the values of an attention's options, by name."""
  given = attentions.given | {"name"}
  parameters = inspect.signature(type(net)).parameters
  return {name: getattr(net, name) for name in parameters if name not in given}
