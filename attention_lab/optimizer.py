"""Optimizers and learning-rate schedules by name, made of optax."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from attention_lab.errors import UserError
from attention_lab.plugin import spec as specs
from attention_lab.plugin.registry import Registry

Schedule = Callable[[Any], Any]

# (at least, below) of options that several have.
RANGES = {
  "b1": (0, 1),
  "b2": (0, 1),
  "momentum": (0, 1),
  "eps": (0, 1),
  "weight_decay": (0, float("inf")),
  "warmup_steps": (0, float("inf")),
  "final": (0, float("inf")),
  "at": (1, float("inf")),
  "rate": (0, float("inf")),
}

optimizers = Registry("optimizer", given=("learning_rate",))
schedules = Registry("schedule", given=("peak", "steps"))


def matrices(params: Any) -> Any:
  """True for the parameters that decay: matrices, but no biases, scales or offsets."""

  def decays(path: Any, leaf: Any) -> bool:
    stacked = "layers/" in path[0].key  # A stacked layer's arrays lead with the layer.
    return leaf.ndim - stacked >= 2

  return jax.tree_util.tree_map_with_path(decays, params)


@optimizers.register("adamw")
def adamw(
  learning_rate: Schedule,
  b1: float = 0.9,
  b2: float = 0.999,
  eps: float = 1e-8,
  weight_decay: float = 1e-4,
  decay_all: bool = True,
) -> optax.GradientTransformation:
  """Adam with decoupled weight decay (arXiv:1711.05101)."""
  mask = None if decay_all else matrices
  return optax.adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=mask)


@optimizers.register("adam")
def adam(
  learning_rate: Schedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
  """Adam (arXiv:1412.6980)."""
  return optax.adam(learning_rate, b1, b2, eps)


@optimizers.register("sgd")
def sgd(
  learning_rate: Schedule, momentum: float = 0.0, nesterov: bool = False
) -> optax.GradientTransformation:
  """Stochastic gradient descent, with momentum if it is above 0."""
  return optax.sgd(learning_rate, momentum or None, nesterov)


@optimizers.register("lion")
def lion(
  learning_rate: Schedule,
  b1: float = 0.9,
  b2: float = 0.99,
  weight_decay: float = 1e-3,
  decay_all: bool = True,
) -> optax.GradientTransformation:
  """Lion (arXiv:2302.06675)."""
  mask = None if decay_all else matrices
  return optax.lion(learning_rate, b1, b2, weight_decay=weight_decay, mask=mask)


@schedules.register("constant")
def constant(peak: float) -> Schedule:
  """Return a constant rate."""
  return optax.constant_schedule(peak)


@schedules.register("warmup")
def warmup(peak: float, warmup_steps: int = 100) -> Schedule:
  """Return a linear increase to the peak, then a constant rate."""
  return optax.join_schedules(
    [_rise(peak, warmup_steps), optax.constant_schedule(peak)], [warmup_steps]
  )


@schedules.register("cosine")
def cosine(
  peak: float, steps: int, warmup: float = 0.0, final: float = 0.1
) -> Schedule:
  """Return a linear increase, then a cosine decay to `final` · peak (arXiv:1608.03983).

  The increase takes the share `warmup` of the steps.
  """
  if not 0 <= warmup < 1:
    raise UserError(f"cosine(warmup={warmup}): take a share of the steps, 0 <= w < 1.")
  rising = int(warmup * steps)
  fall = optax.cosine_decay_schedule(peak, steps - rising, final)
  return optax.join_schedules([_rise(peak, rising), fall], [rising])


@schedules.register("noam")
def noam(peak: float, warmup_steps: int = 4000) -> Schedule:
  """Return a linear increase, then 1/√step (arXiv:1706.03762, section 5.3).

  The paper's rate is `peak` = 1 / √(d_model · warmup_steps).
  """
  start = max(1, warmup_steps)

  def rate(step: Any) -> Any:
    step = jnp.asarray(step, jnp.float32) + 1
    return peak * jnp.minimum(step / start, jnp.sqrt(start / step))

  return rate


@schedules.register("continued")
def continued(
  peak: float,
  steps: int,
  of: str,
  at: int,
  then: str = "constant",
  rate: float | None = None,
) -> Schedule:
  """Return `of`, planned for `at` steps, and another schedule from there on.

  `then` is planned for the steps that are left, with the peak `rate` · peak; without a
  rate, with the one that `of` ends at. With it a finished run trains further.
  """
  before = make_schedule(of, peak, at)
  after = float(before(at)) if rate is None else rate * peak
  rest = make_schedule(then, after, max(1, steps - at))
  return optax.join_schedules([before, rest], [at])


def continues(spec: str, of: str, at: int) -> bool:
  """Return whether a schedule equals `of`, planned for `at` steps, up to step `at`."""
  name, options = specs.parse(spec)
  same = {"of": of, "at": at}.items() <= options.items()
  return name == "continued" and same


def _bind(registry: Registry, spec: str) -> Callable[..., Any]:
  """Return what a spec names; raise `UserError` for an option out of range."""
  bound = registry.bind(spec)
  for option, value in bound.keywords.items():
    if option not in RANGES or value is None:
      continue
    least, below = RANGES[option]
    if not least <= value < below:
      also = f" and less than {below}" if below < float("inf") else ""
      name = specs.parse(spec).name
      raise UserError(f"{name}({option}={value}): take {least} or more{also}.")
  return bound


def _rise(peak: float, steps: int) -> Schedule:
  """Return a linear increase from peak / (steps + 1), so that the first step counts."""
  return optax.linear_schedule(peak / (steps + 1), peak, steps)


def make_schedule(spec: str, peak: float, steps: int) -> Schedule:
  """Return the learning rate as a function of the step, from 0, for `steps` steps."""
  bound = _bind(schedules, spec)
  given = {"peak": peak}
  if _takes_steps(spec):
    given["steps"] = steps
  return bound(**given)


def depends_on_steps(spec: str) -> bool:
  """Return whether a schedule depends on the length of the run."""
  name, options = specs.parse(spec)
  if name == "continued":
    return depends_on_steps(options.get("then", "constant"))
  return _takes_steps(spec)


def _takes_steps(spec: str) -> bool:
  return "steps" in inspect.signature(schedules[specs.parse(spec).name]).parameters


def make_optimizer(
  spec: str, learning_rate: Schedule, clip_norm: float
) -> optax.GradientTransformation:
  """Return the optimizer of a spec, after clipping by global norm if it is above 0."""
  update = _bind(optimizers, spec)(learning_rate=learning_rate)
  if not clip_norm:
    return update
  return optax.chain(optax.clip_by_global_norm(clip_norm), update)
