"""Refuses an attention that cannot be right, before anything is compiled.

Each attention is traced, abstractly and in milliseconds: its output has to depend on
every hook in which the positional scheme acts, and to keep shape and dtype.
"""

from collections.abc import Callable, Mapping
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
from jax.extend import core

from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.errors import UserError, one_line
from attention_lab.kernel.mask import Mask
from attention_lab.position.base.position import Position, one_draw, positions

# "embed" acts outside of attentions.
HOOKS = tuple(hook for hook in Position.HOOKS if hook != "embed")


def refuse_impossible(
  attention: str,
  build: Callable[[], Attention],
  position: str,
  acts: frozenset[str],
  asked: Mapping[str, str],
  dtype: Any,
) -> None:
  """Raises UserError unless the attention runs and honours the positional scheme.

  Args:
    attention: the attention's name, for messages.
    build: makes the attention, inside a transform.
    position: the scheme's name, for messages.
    acts: the hooks in which the scheme acts.
    asked: by the places of the architecture that it takes, the kind it has to be there.
    dtype: what is computed in.
  """
  try:
    _refuse_kind(attention, build, asked)
    used = _hooks_used(attention, build)
    _refuse_kernel(build, dtype)
    if acts & {"rotate", "rotate_keys"} and not _turns_pairs(build):
      raise UserError(
        f"The attention {attention!r} relies on a rotation that turns the pairs "
        f"(x_f, x_{{f+K/2}}), as rope does; --position={position} turns otherwise."
      )
  except UserError:
    raise
  except Exception as error:
    raise UserError(f"The attention {attention!r} fails: {one_line(error)}.") from error
  missed = acts & set(HOOKS) - used
  if missed:
    usable = [
      name
      for name in positions
      if positions[name].acts() & set(HOOKS) <= used  # type: ignore[attr-defined]
    ]
    raise UserError(
      f"--position={position} acts by {' and '.join(sorted(missed))}, in which the "
      f"attention {attention!r} takes no part. Use one of: {', '.join(usable)}."
    )


def _refuse_kind(
  attention: str, build: Callable[[], Attention], asked: Mapping[str, str]
) -> None:
  """Raises UserError unless the attention can be all that is asked of it."""
  able = hk.transform(lambda: build().kinds).apply({}, None)
  if missing := [place for place, kind in asked.items() if kind not in able]:
    kinds = set(asked.values())
    others = [name for name in attentions if kinds <= set(attentions[name].kinds)]  # type: ignore[attr-defined]
    alone = (
      f" Or take another there alone: --config.architecture.{missing[0]}.attention=..."
    )
    raise UserError(
      f"The attention {attention!r} is {' or '.join(able)}, but this architecture asks "
      f"for {' and '.join(asked[place] for place in missing)} attention. "
      f"Use one of: {', '.join(others)}." + alone * (len(asked) > 1)
    )


def _hooks_used(attention: str, build: Callable[[], Attention]) -> set[str]:
  """The hooks of its positional scheme on which the attention's output depends."""
  honoured: set[str] = set()

  def run(probes: dict[str, jax.Array]) -> jax.Array:
    def spy(method: Any, args: Any, kwargs: Any, context: hk.MethodContext) -> Any:
      result = method(*args, **kwargs)
      probe = probes.get(context.method_name)
      if not isinstance(context.module, Position) or probe is None:
        return result
      if result is None:  # A scheme without bias: would this attention take one?
        result = jnp.zeros((2, module.num_heads, 3, 3))
      return result + probe.astype(result.dtype)

    module = build()
    module.kernel = "reference"  # The others may not take a bias that is probed.
    with hk.intercept_methods(spy):
      honoured.update(module.honours)
      x = jnp.zeros((2, 3, module.d_model), jnp.float32)
      at = jnp.zeros((2, 3), jnp.int32)
      y = module(x, x, Mask(at, at, causal="causal" in module.kinds))
    if not hasattr(y, "shape"):
      raise UserError(
        f"The attention {attention!r} returns a {type(y).__name__}, no array."
      )
    if (jnp.shape(y), jnp.result_type(y)) != (x.shape, x.dtype):
      raise UserError(
        f"The attention {attention!r} turns {x.dtype}{list(x.shape)} into "
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
  """Raises UserError if the run's kernel cannot do what the attention asks of it."""

  def run(x: jax.Array) -> jax.Array:
    at = jnp.zeros(x.shape[:2], jnp.int32)
    with one_draw(build().position):  # As in training, where a kernel may do less.
      module = build()
      return module(x, x, Mask(at, at, causal="causal" in module.kinds))

  d_model = hk.transform(lambda: build().d_model).apply({}, None)
  x = jax.ShapeDtypeStruct((2, 3, d_model), dtype)
  jax.eval_shape(hk.transform(run).init, jax.random.key(0), x)


def _turns_pairs(build: Callable[[], Attention]) -> bool:
  """Whether the scheme turns keys by pairs, where the attention relies on that.

  The angles, and the lengths if they change, are read off the turned pairs (1, 0); all
  other pairs must turn by them. This is computed and not traced, which takes a second:
  only where it is relied on.
  """

  def turn() -> tuple[jax.Array, jax.Array]:
    module = build()
    halves = (2, 3, module.num_heads, module.key_size // 2)
    first, second = jax.random.normal(jax.random.key(0), (2, *halves))
    at = jnp.array([[0, 1, 2], [3, 5, 11]], jnp.int32)
    at = jnp.minimum(at, module.position.max_length - 1)
    ones, zeros = jnp.ones(halves), jnp.zeros(halves)
    rotate = module.position.rotate_keys
    pairs = jnp.concatenate([ones, zeros], axis=-1)[:, :, :1]  # All heads turn alike.
    cos, sin = jnp.split(rotate(pairs, at), 2, axis=-1)
    expected = [first * cos - second * sin, second * cos + first * sin]
    actual = rotate(jnp.concatenate([first, second], axis=-1), at)
    return actual, jnp.concatenate(expected, axis=-1)

  if not hk.transform(lambda: build().turns_pairs).apply({}, None):
    return True
  transformed, key = hk.transform(turn), jax.random.key(0)
  actual, expected = transformed.apply(transformed.init(key), key)
  return bool(jnp.allclose(actual, expected, rtol=1e-4, atol=1e-5))


def _reaches_output(program: core.Jaxpr, variable: core.Var) -> bool:
  """Whether what a program returns depends on one of its inputs."""
  reached = {variable}
  for equation in program.eqns:
    inputs = [x for x in equation.invars if not isinstance(x, core.Literal)]
    if not reached.isdisjoint(inputs):
      reached.update(equation.outvars)
  return not reached.isdisjoint(
    [x for x in program.outvars if not isinstance(x, core.Literal)]
  )
