"""Compatibility of an attention with the architecture, positional scheme and kernel.

Each attention is traced abstractly, in milliseconds and before anything is compiled: its
output must depend on every hook in which the positional scheme acts, and must keep shape
and dtype.
"""

import contextlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, cast

import haiku as hk
import jax
import jax.numpy as jnp
from jax.extend import core

from attention_lab.architecture.base.architecture import Architecture
from attention_lab.architecture.base.prefix import refuse_without_prefix
from attention_lab.attention.base.attention import HOOKS, Attention, attentions
from attention_lab.attention.base.rotations import unmet_requirement
from attention_lab.block.base.block import Block, blocks
from attention_lab.block.base.options import Options
from attention_lab.errors import UserError, line_of
from attention_lab.kernel.mask import Mask
from attention_lab.norm.base.norm import Norm, norms
from attention_lab.plugin.mistakes import running
from attention_lab.plugin.spec import Spec
from attention_lab.position.base.position import Position, positions, shared_sample

# Methods of an attention whose results may be None.
NO_RESULT = ("__init__", "initial_state", "memorise")

# What `refuse_once` accepted: a process assembles an experiment several times.
_ACCEPTED: set[Hashable] = set()


def refuse_once(key: Hashable, *configuration: Any) -> None:
  """Raise `UserError` as `refuse_incompatible` does, unless it has accepted the key.

  Args:
    key: everything that the verdict depends on.
    configuration: the arguments of `refuse_incompatible`.
  """
  if key not in _ACCEPTED:
    refuse_incompatible(*configuration)
    _ACCEPTED.add(key)


def refuse_incompatible(
  attention: str,
  build: Callable[[], Attention],
  position: str,
  hooks: frozenset[str],
  kinds: Mapping[str, str],
  dtype: Any,
) -> None:
  """Raise `UserError` unless the attention works with the rest of the configuration.

  Args:
    attention: name of the attention, for messages.
    build: makes the attention inside a transform.
    position: name of the positional scheme, for messages.
    hooks: hooks in which the scheme acts.
    kinds: required kind of attention, by the attention's places in the architecture.
    dtype: dtype of the computation.
  """
  with running(f"The attention {attention!r}"):
    _refuse_kinds(attention, build, kinds)
    with _named_none():
      used = _hooks_used(attention, build)
    _refuse_kernel(build, dtype)
    if "causal" in kinds.values():
      _refuse_extend(build, dtype)
    refuse_without_prefix(attention, build)
    if hooks & {"rotate", "rotate_keys"} and (unmet := unmet_requirement(build)):
      raise UserError(
        f"The attention {attention!r} requires {unmet}; --position={position} rotates "
        f"otherwise. Use --position=rope."
      )
  if missed := hooks & set(HOOKS) - used:
    usable = [
      name
      for name in positions
      if positions[name].acts() & set(HOOKS) <= used  # type: ignore[attr-defined]
    ]
    raise UserError(
      f"--position={position} acts by {' and '.join(sorted(missed))}, which the "
      f"attention {attention!r} does not use. Use one of: {', '.join(usable)}."
    )


def refuse_layers(options: Options, architecture: type[Architecture]) -> None:
  """Raise `UserError` unless block and normalisation suit the model's settings."""
  block = cast(type[Block], blocks.bind(options.block).func)
  norm = cast(type[Norm], norms.bind(options.norm_layer).func)
  if options.norm not in block.norms:
    raise UserError(
      f"--config.model.norm={options.norm}: the block {options.block!r} supports only "
      f"{' and '.join(block.norms)}."
    )
  if options.norm_offset and not norm.has_offset:
    usable = [name for name in norms if cast(type[Norm], norms[name]).has_offset]
    raise UserError(
      f"--config.model.norm_offset=true: the normalisation {options.norm_layer!r} has no "
      f"bias. Use one of: {', '.join(usable)}."
    )
  if "cross" in architecture.places.values() and not block.has_cross:
    usable = [name for name in blocks if cast(type[Block], blocks[name]).has_cross]
    raise UserError(
      f"--config.model.block={options.block} has no cross-attention, which this "
      f"architecture needs. Use one of: {', '.join(usable)}."
    )


def required_kinds(
  patterns: Mapping[str, tuple[Spec, ...]], architecture: type[Architecture]
) -> dict[str, dict[str, str]]:
  """Return the kind that each attention has to be, by its spec and place."""
  required: dict[str, dict[str, str]] = {}
  for place, pattern in patterns.items():
    for spec in pattern:
      required.setdefault(str(spec), {})[place] = architecture.places[place]
  return required


def _refuse_kinds(
  attention: str, build: Callable[[], Attention], kinds: Mapping[str, str]
) -> None:
  """Raise `UserError` unless the attention can be of all required kinds."""
  supported = hk.transform(lambda: build().kinds).apply({}, None)
  if missing := [place for place, kind in kinds.items() if kind not in supported]:
    required = set(kinds.values())
    others = [name for name in attentions if required <= set(attentions[name].kinds)]  # type: ignore[attr-defined]
    one_place = (
      f" To replace it in one place only, set "
      f"--config.architecture.{missing[0]}.attention=..."
    )
    encoder = " For bidirectional attention, type --architecture=encoder."
    raise UserError(
      f"The attention {attention!r} is {' or '.join(supported)}, but this architecture "
      f"needs {' and '.join(kinds[place] for place in missing)} attention. "
      f"Use one of: {', '.join(others)}."
      + one_place * (len(kinds) > 1)
      + encoder * (len(kinds) == 1 and "bidirectional" in supported)
    )


@contextlib.contextmanager
def _named_none() -> Iterator[None]:
  """Raise `UserError` if an exception follows a method that returned None."""
  found = []

  def watch(method: Any, args: Any, kwargs: Any, context: hk.MethodContext) -> Any:
    result = method(*args, **kwargs)
    cls, name = type(context.module), context.method_name
    overrides = sum(name in vars(each) for each in cls.__mro__) > 1
    returns = isinstance(context.module, Attention) and name not in NO_RESULT
    if result is None and returns and overrides:
      found.append(getattr(cls, name))
    return result

  try:
    with hk.intercept_methods(watch):
      yield
  except Exception as error:
    if found:
      raise UserError(
        f"{found[-1].__qualname__} ({line_of(found[-1])}) returns None. Return an array."
      ) from error
    raise


def _hooks_used(attention: str, build: Callable[[], Attention]) -> set[str]:
  """Return the honoured hooks on which the attention's output depends."""
  honoured: set[str] = set()

  def run(probes: dict[str, jax.Array]) -> jax.Array:
    def add_probe(
      method: Any, args: Any, kwargs: Any, context: hk.MethodContext
    ) -> Any:
      result = method(*args, **kwargs)
      probe = probes.get(context.method_name)
      if not isinstance(context.module, Position) or probe is None:
        return result
      if result is None:  # The scheme has no bias; the attention may still use one.
        _, _, num_heads = args  # See `bias_of`.
        result = jnp.zeros((2, num_heads, 3, 3))
      return result + probe.astype(result.dtype)

    module = build()
    module.kernel = "reference"  # Other kernels may reject a traced bias.
    with hk.intercept_methods(add_probe):
      honoured.update(module.honours)
      x = jnp.zeros((2, 3, module.d_model), jnp.float32)
      token_positions = jnp.zeros((2, 3), jnp.int32)
      y = module(
        x, x, Mask(token_positions, token_positions, causal="causal" in module.kinds)
      )
    if not hasattr(y, "shape"):
      raise UserError(
        f"The attention {attention!r} returns a {type(y).__name__}, not an array."
      )
    if (jnp.shape(y), jnp.result_type(y)) != (x.shape, x.dtype):
      raise UserError(
        f"The attention {attention!r} maps {x.dtype}{list(x.shape)} to "
        f"{jnp.result_type(y)}{list(jnp.shape(y))}; it must keep shape and dtype."
      )
    return y

  def output(*values: jax.Array) -> jax.Array:
    transformed, key = hk.transform(run), jax.random.key(0)
    probes = dict(zip(HOOKS, values, strict=True))
    return transformed.apply(transformed.init(key, probes), key, probes)

  program = jax.make_jaxpr(output)(*(jnp.zeros(()) for _ in HOOKS)).jaxpr
  probes = zip(HOOKS, program.invars, strict=True)
  return {hook for hook, probe in probes if _reaches_output(program, probe)} & honoured


def _refuse_kernel(build: Callable[[], Attention], dtype: Any) -> None:
  """Raise `UserError` if the run's kernel does not support the attention.

  Raise JAX's error if the attention uses an array that it kept from an earlier trace.
  """

  def run(x: jax.Array) -> jax.Array:
    token_positions = jnp.zeros(x.shape[:2], jnp.int32)
    with shared_sample(build().position):  # As in training, where kernels support less.
      module = build()
      causal, prefix = "causal" in module.kinds, module.prefix_length
      at = token_positions, token_positions
      return module(x, x, Mask(*at, causal=causal, prefix=prefix))

  d_model = hk.transform(lambda: build().d_model).apply({}, None)
  x = jax.ShapeDtypeStruct((2, 3, d_model), dtype)
  program = jax.make_jaxpr(hk.transform(run).init)(jax.random.key(0), x)
  for constant in program.consts:
    if isinstance(constant, jax.core.Tracer):
      jax.jit(lambda kept=constant: kept)()


def _refuse_extend(build: Callable[[], Attention], dtype: Any) -> None:
  """Raise `UserError` unless `extend` returns the output and the new state."""

  def run(x: jax.Array) -> None:
    module = build()
    state = module.initial_state(2, 3, dtype)
    result = module.extend(x, state, jnp.zeros(x.shape[:2], jnp.int32))
    if not isinstance(result, tuple) or len(result) != 2:
      extend = type(module).extend
      raise UserError(
        f"{extend.__qualname__} ({line_of(extend)}) must return a pair, the output and "
        f"the new state."
      )

  d_model = hk.transform(lambda: build().d_model).apply({}, None)
  x = jax.ShapeDtypeStruct((2, 1, d_model), dtype)
  jax.eval_shape(hk.transform(run).init, jax.random.key(0), x)


def _reaches_output(program: core.Jaxpr, variable: core.Var) -> bool:
  """Return True if an output of the program depends on the variable, an input."""
  reached = {variable}
  for equation in program.eqns:
    inputs = [x for x in equation.invars if not isinstance(x, core.Literal)]
    if not reached.isdisjoint(inputs):
      reached.update(equation.outvars)
  return not reached.isdisjoint(
    [x for x in program.outvars if not isinstance(x, core.Literal)]
  )
