"""Matching the cost of a row to the baseline by its d_ff and, if necessary, d_model."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from attention_lab import config as configs
from attention_lab.compare.analysis.wording import setting_text
from attention_lab.config import Config
from attention_lab.errors import UserError
from attention_lab.training.preflight import parameters, training_flops

TOLERANCE = 0.01  # Accepted deviation, relative to the target.
# Sizes that a user chooses: rows that differ in one of them are not matched.
SIZES = (
  "dataset",
  *(f"model.{size}" for size in "num_layers num_heads d_model d_ff key_size".split()),
)
Cost = Callable[[Config], int]


class Matched(NamedTuple):
  """Configuration whose cost is closest to a target."""

  config: Config
  cost: int
  within: bool  # Whether the cost is within TOLERANCE of the target.


COSTS: dict[str, tuple[Cost, str]] = {
  "parameters": (parameters, "parameters"),
  "flops": (training_flops, "training FLOPs per step"),
}


def differs(cost: int, target: int) -> bool:
  """Return whether two costs differ by more than TOLERANCE."""
  return abs(cost - target) > TOLERANCE * target


def match(config: Config, target: int, cost: Cost) -> Matched | None:
  """Return a configuration with d_ff set so that its cost is `target`.

  If no d_ff reaches the target, d_model is reduced to the largest value that allows one.

  Args:
    config: the configuration to match.
    target: the wanted cost.
    cost: a function that increases with d_ff and with d_model.

  Returns:
    The closest configuration found; None if no size can be changed.
  """
  best = None
  for narrower in _widths(config):

    @functools.cache
    def cost_of(d_ff: int, config: Config = narrower) -> int:
      return cost(_with_d_ff(config, d_ff))

    try:
      d_ff = nearest(cost_of, target, _size(narrower, "model.d_ff"))
      reached = cost_of(d_ff)
    except UserError:  # Some attentions reject some widths.
      continue
    if best is None or abs(reached - target) < abs(best.cost - target):
      within = not differs(reached, target)
      best = Matched(_with_d_ff(narrower, d_ff), reached, within)
    if best.within or reached < target:
      return best
  return best


def nearest(cost: Callable[[int], int], target: int, start: int) -> int:
  """Return the size of at least 1 whose cost is closest to `target`.

  The size is found by interpolation; an affine cost is evaluated at three sizes.

  Args:
    cost: an increasing function of the size; may be called repeatedly for one size.
    target: the wanted cost.
    start: the size where the search begins.
  """
  low, high = 1, max(start, 2)
  while cost(high) < target and cost(high) > cost(low):
    low, high = high, 2 * high
  while high - low > 1 and cost(low) < target < cost(high):
    slope = (cost(high) - cost(low)) / (high - low)
    size = min(max(round(low + (target - cost(low)) / slope), low + 1), high - 1)
    if 2 * abs(cost(size) - target) <= slope:
      return size
    low, high = (size, high) if cost(size) < target else (low, size)
  return min(low, high, key=lambda size: abs(cost(size) - target))


def description(
  old: Config, matched: Matched, target: int, unit: str, baseline: str
) -> str:
  """Return how a configuration was matched to the baseline, in words."""
  sizes = " and ".join(
    f"{setting_text(key, new)} instead of {_size(old, key)}"
    for key, (_, new) in configs.differences(old, matched.config).items()
  )
  closest = "" if matched.within else f"not within {100 * TOLERANCE:g} %; closest: "
  return f"{closest}{sizes}: {matched.cost:,} {unit}; {baseline} has {target:,}"


def _size(config: Config, key: str) -> int:
  value = dict(configs.flatten(config))[key]
  return int(4 * config.model.d_model if value is None else value)


def _widths(config: Config) -> Iterator[Config]:
  """Yield the configuration, then copies with smaller and smaller d_model."""
  model = config.model
  step = 2 if model.key_size is not None else 2 * model.num_heads
  for d_model in range(model.d_model, 0, -step):
    narrower = config.copy_and_resolve_references()
    narrower.model.d_model = d_model
    yield narrower


def _with_d_ff(config: Config, d_ff: int) -> Config:
  changed = config.copy_and_resolve_references()
  changed.model.d_ff = d_ff
  return changed
