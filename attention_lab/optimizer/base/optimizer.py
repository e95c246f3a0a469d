"""Optimizers by name: functions that return an `optax.GradientTransformation`."""

import inspect
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import optax

from attention_lab.errors import UserError
from attention_lab.optimizer.base.decay import matrices
from attention_lab.plugin.contract import FunctionContract
from attention_lab.plugin.mistakes import running
from attention_lab.plugin.registry import Registry
from attention_lab.schedule.base.schedule import Schedule

# Parameters → tree of bools, True for those that decay.
Decays = Callable[[Any], Any]

CONTRACT = FunctionContract(("learning_rate",), ("decays",))
optimizers = Registry("optimizer", CONTRACT, CONTRACT.given, "train.optimizer")
register_optimizer = optimizers.register


def make_optimizer(
  spec: str,
  learning_rate: Schedule,
  clip_norm: float,
  undecayed: Collection[tuple[str, str]] = (),
) -> optax.GradientTransformation:
  """Return the optimizer of a spec, after clipping by global norm if it is above 0.

  Args:
    spec: `name` or `name(option=value, ...)`.
    learning_rate: the learning rate as a function of the step, from 0.
    clip_norm: largest norm of the gradient over all parameters; 0 for no clipping.
    undecayed: matrices without weight decay, as `decay.matrices` takes them.

  Raises:
    UserError: the name or an option is wrong, or the function returns something else.
  """
  bound = optimizers.bind(spec)
  given: dict[str, Any] = {"learning_rate": learning_rate}
  if "decays" in inspect.signature(bound.func).parameters:
    given["decays"] = partial(matrices, undecayed=undecayed)
  with running(f"The optimizer {spec!r}"):
    update = bound(**given)
  if not isinstance(update, optax.GradientTransformation):
    raise UserError(
      f"The optimizer {spec!r} returns a {type(update).__name__}, not an "
      f"optax.GradientTransformation."
    )
  if not clip_norm:
    return update
  return optax.chain(optax.clip_by_global_norm(clip_norm), update)
