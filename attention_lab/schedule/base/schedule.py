"""Learning-rate schedules by name: functions that return a rate for each step."""

import inspect
from collections.abc import Callable
from typing import Any

import optax

from attention_lab.errors import UserError
from attention_lab.plugin import spec as specs
from attention_lab.plugin.contract import FunctionContract
from attention_lab.plugin.mistakes import running
from attention_lab.plugin.registry import Registry

# Step from 0, an int or a traced array → learning rate.
Schedule = Callable[[Any], Any]

CONTRACT = FunctionContract(("peak",), ("steps",))
schedules = Registry("schedule", CONTRACT, CONTRACT.given, "train.schedule")
register_schedule = schedules.register


def make_schedule(spec: str, peak: float, steps: int) -> Schedule:
  """Return the learning rate as a function of the step, from 0, for `steps` steps.

  Raises:
    UserError: the name or an option is wrong, or the function returns something else.
  """
  bound = schedules.bind(spec)
  given = {"peak": peak}
  if _takes_steps(spec):
    given["steps"] = steps
  with running(f"The schedule {spec!r}"):
    rate = bound(**given)
  if not callable(rate):
    raise UserError(
      f"The schedule {spec!r} returns a {type(rate).__name__}, not a function of the step."
    )
  return rate


def depends_on_steps(spec: str) -> bool:
  """Return whether a schedule depends on the length of the run."""
  name, options = specs.parse(spec)
  if name == "continued":
    return depends_on_steps(options.get("then", "constant"))
  return _takes_steps(spec)


def continues(spec: str, of: str, at: int) -> bool:
  """Return whether a schedule equals `of`, planned for `at` steps, up to step `at`."""
  name, options = specs.parse(spec)
  same = {"of": of, "at": at}.items() <= options.items()
  return name == "continued" and same


def rise(peak: float, steps: int) -> Schedule:
  """Return a linear increase from peak / (steps + 1), so that the first step counts."""
  return optax.linear_schedule(peak / (steps + 1), peak, steps)


def _takes_steps(spec: str) -> bool:
  return "steps" in inspect.signature(schedules[specs.parse(spec).name]).parameters
