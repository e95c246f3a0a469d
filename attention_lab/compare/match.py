"""Rows of equal cost: the feed-forward layer, else the width, adjusted to the baseline."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
from ml_collections import config_dict

from attention_lab import config as configs
from attention_lab.benchmark.utilisation import flops_per_step
from attention_lab.errors import UserError, one_line
from attention_lab.experiment import assemble

TOLERANCE = 0.01  # Of the baseline's cost.
# Sizes that a user chose: rows that differ in them are not made equal.
SIZES = (
  "dataset",
  *(f"model.{size}" for size in "num_layers num_heads d_model d_ff key_size".split()),
)
Cost = Callable[[config_dict.ConfigDict], int]


class Matched(NamedTuple):
  """A configuration whose cost was brought as near to a target as it goes."""

  config: config_dict.ConfigDict
  cost: int
  within: bool  # TOLERANCE of the target.


def parameters(config: config_dict.ConfigDict) -> int:
  """How many parameters the model has; none is made.

  Raises:
    UserError: the model cannot be built.
  """
  experiment = assemble(config)
  try:
    shapes = jax.eval_shape(lambda: experiment.init(0))
  except UserError:
    raise
  except Exception as error:
    raise UserError(f"--attention={config.attention}: {one_line(error)}.") from error
  return sum(leaf.size for leaf in jax.tree.leaves(shapes))


COSTS: dict[str, tuple[Cost, str]] = {
  "parameters": (parameters, "parameters"),
  "flops": (flops_per_step, "training FLOPs a step"),
}


def differs(cost: int, target: int) -> bool:
  """Whether two costs are further apart than TOLERANCE."""
  return abs(cost - target) > TOLERANCE * target


def match(config: config_dict.ConfigDict, target: int, cost: Cost) -> Matched | None:
  """The configuration with d_ff set so that it costs `target`; where no d_ff does, with
  the greatest width below its own that lets one.

  Args:
    config: what is adjusted.
    target: what it should cost.
    cost: grows with d_ff and with d_model.

  Returns:
    The nearest that was found; None if no size can be changed.
  """
  best = None
  for narrower in _widths(config):

    @functools.cache
    def of(d_ff: int, config: config_dict.ConfigDict = narrower) -> int:
      return cost(_with(config, d_ff))

    try:
      d_ff = nearest(of, target, _own(narrower, "model.d_ff"))
      reached = of(d_ff)
    except UserError:  # Not every width suits every attention.
      continue
    if best is None or abs(reached - target) < abs(best.cost - target):
      within = not differs(reached, target)
      best = Matched(_with(narrower, d_ff), reached, within)
    if best.within or reached < target:
      return best
  return best


def nearest(cost: Callable[[int], int], target: int, start: int) -> int:
  """The size of 1 or more whose cost, which grows with it, is nearest to `target`.

  Found by interpolation: by the costs of three sizes where the cost is affine.

  Args:
    cost: of a size; may be asked again for the same.
    target: what it should cost.
    start: a size to begin from.
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


def told(
  old: config_dict.ConfigDict, found: Matched, target: int, unit: str, baseline: str
) -> str:
  """How a configuration was made equal, or how nearly, in words."""
  changed = configs.differences(old, found.config)
  sizes = " and ".join(
    f"{key.rpartition('.')[2]} {new} instead of {_own(old, key)}"
    for key, (_, new) in changed.items()
  )
  near = "" if found.within else f"not within {TOLERANCE:.0%}, the nearest is "
  return f"{near}{sizes}: {found.cost:,} {unit}, as {baseline} has {target:,}"


def _own(config: config_dict.ConfigDict, key: str) -> int:
  value = dict(configs.flatten(config))[key]
  return int(4 * config.model.d_model if value is None else value)


def _widths(config: config_dict.ConfigDict) -> Iterator[config_dict.ConfigDict]:
  """The configuration, and then narrower ones, d_ff as it is."""
  model = config.model
  step = 2 if model.key_size is not None else 2 * model.num_heads
  for d_model in range(model.d_model, 0, -step):
    own = config.copy_and_resolve_references()
    own.model.d_model = d_model
    yield own


def _with(config: config_dict.ConfigDict, d_ff: int) -> config_dict.ConfigDict:
  own = config.copy_and_resolve_references()
  own.model.d_ff = d_ff
  return own
