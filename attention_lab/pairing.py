"""Refuses an attention that cannot be right, before anything is compiled.

Each attention is traced once, abstractly, in a few milliseconds: it has to call every
hook in which the positional scheme acts, and to keep shape and dtype.
"""

from collections.abc import Callable
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base import Attention
from attention_lab.attention.mask import Mask
from attention_lab.errors import UserError, one_line
from attention_lab.position.base import Position, positions


def refuse_impossible(
  attention: str, build: Callable[[], Attention], position: str, acts: frozenset[str]
) -> None:
  """Raises UserError unless the attention runs and honours the positional scheme.

  Args:
    attention: the attention's name, for messages.
    build: makes the attention, inside a transform.
    position: the scheme's name, for messages.
    acts: the hooks in which the scheme acts.
  """
  try:
    used = _hooks_used(attention, build)
  except UserError:
    raise
  except Exception as error:
    raise UserError(f"The attention {attention!r} fails: {one_line(error)}.") from error
  missed = acts - used - {"embed"}
  if missed:
    usable = [
      name
      for name in positions
      if not missed & positions[name].acts()  # type: ignore[attr-defined]
    ]
    raise UserError(
      f"--position={position} acts by {' and '.join(sorted(missed))}, in which the "
      f"attention {attention!r} takes no part. Use one of: {', '.join(usable)}."
    )


def _hooks_used(attention: str, build: Callable[[], Attention]) -> set[str]:
  """The hooks of its positional scheme that the attention calls and says it honours."""
  called: set[str] = set()
  honoured: set[str] = set()

  def spy(method: Any, args: Any, kwargs: Any, context: hk.MethodContext) -> Any:
    if isinstance(context.module, Position):
      called.add(context.method_name)
    return method(*args, **kwargs)

  def run() -> None:
    module = build()
    honoured.update(module.honours)
    x = jnp.zeros((2, 3, module.d_model), jnp.float32)
    at = jnp.zeros((2, 3), jnp.int32)
    y = module(x, x, Mask(at, at, causal=True))
    if (jnp.shape(y), jnp.result_type(y)) != (x.shape, x.dtype):
      raise UserError(
        f"The attention {attention!r} turns {x.dtype}{list(x.shape)} into "
        f"{jnp.result_type(y)}{list(jnp.shape(y))}; it must keep shape and dtype."
      )

  with hk.intercept_methods(spy):
    jax.eval_shape(hk.transform(run).init, jax.random.key(0))
  return called & honoured
