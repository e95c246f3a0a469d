"""Several seeds of one experiment: their settings and folders, and one program for all.

The program of several seeds is the step of one, vmapped over a leading axis of the state.
`Stepper` and `update` treat that state as they treat any other; this module alone stacks
and selects.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from attention_lab.dataset.base.dataset import Dataset, with_order
from attention_lab.dataset.base.order import Order
from attention_lab.distributed.devices import unreplicate
from attention_lab.distributed.group import Group
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment
from attention_lab.run.folder import CONFIG
from attention_lab.system.regular import refuse_link
from attention_lab.training.stepper import ALONE, Stepper
from attention_lab.update import make_step

# FLOPs of one seed's step below which an accelerator is assumed to wait more than it
# computes: at 10^14 FLOP/s such a step takes 0.5 ms, and launching its few hundred kernels
# takes longer than that.
SMALL_STEP = 5e10


def side_by_side_pays(flops_per_step: float, platform: str) -> bool:
  """Return whether several seeds train faster in one program than one after another.

  On an accelerator they do if the model is small. On a CPU they do not: there the matrix
  products of one seed keep a core busy, and batched products are slower (1.05 to 1.24
  times the time per seed and step, docs/measurements/training_step.md).

  Args:
    flops_per_step: FLOPs of one seed, from `utilisation.flops_per_step`.
    platform: "cpu", "gpu" or "tpu".
  """
  return platform != "cpu" and flops_per_step < SMALL_STEP


def seed_folders(workdir: Path, seeds: Sequence[int]) -> list[Path]:
  """Return the folder of each seed's run: `workdir`, or seed0, seed1, … in it.

  Raises:
    UserError: `workdir` holds several runs and one is requested, or the reverse.
  """
  runs, holds_one = [], False
  if os.path.isdir(workdir):  # False also for a name that is too long.
    runs = sorted(path.parent for path in workdir.glob(f"seed*/{CONFIG}"))
    holds_one = (workdir / CONFIG).exists()
  if len(seeds) > 1:
    if holds_one:
      raise UserError(
        f"{workdir} holds one run; name another --workdir for {len(seeds)} seeds."
      )
    folders = [workdir / f"seed{seed}" for seed in seeds]
    for folder in folders:
      refuse_link(folder)
    return folders
  if runs and not holds_one:
    raise UserError(
      f"{workdir} holds {len(runs)} seeds: resume all with --seeds={len(runs)}, or one "
      f"with --workdir={runs[0]}."
    )
  return [workdir]


def make_stepper(
  experiment: Experiment,
  devices: Sequence[jax.Device],
  seeds: Sequence[int],
  batch_size: int,
  micro_batches: int = 1,
  steps_per_call: int = 64,
  group: Group = ALONE,
  fresh: Callable[[Any], Any] | None = None,
) -> Stepper:
  """Build the stepper of one or several seeds; several share one program.

  `fresh` is the jitted `Experiment.fresh`, if there is one: its compilation takes seconds.
  """
  count, datasets = len(seeds), _datasets(experiment.dataset, seeds)
  step = make_step(experiment.loss, experiment.optimizer, micro_batches)
  if count > 1:
    batch_axis = 0 if len(datasets) > 1 else None
    step = jax.vmap(step, in_axes=(0, batch_axis), axis_size=count)
  fresh = fresh or jax.jit(experiment.fresh)  # One program for every seed.
  shapes = jax.eval_shape(fresh, np.uint32(0))
  if count > 1:
    shapes = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), shapes
    )
  return Stepper(
    datasets,
    step,
    partial(_fresh_states, fresh, seeds),
    shapes,
    devices,
    batch_size,
    steps_per_call,
    group,
  )


def _datasets(dataset: Dataset, seeds: Sequence[int]) -> list[Dataset]:
  """Return the dataset of each seed, or one if all seeds share the order of examples."""
  if dataset.order.run_seed is None or len(seeds) == 1:
    return [dataset]
  return [with_order(dataset, Order(seed)) for seed in seeds]


def _fresh_states(fresh: Any, seeds: Sequence[int]) -> Any:
  return stack([fresh(np.uint32(seed)) for seed in seeds])


def stack(states: Sequence[Any]) -> Any:
  """Return one tree of several runs' states, with a leading axis if there are several."""
  if len(states) == 1:
    return states[0]
  return jax.tree.map(lambda *leaves: np.stack(leaves), *states)


def select(tree: Any, index: int, count: int, axis: int) -> Any:
  """Return one run's part of a tree whose axis of runs is `axis`, if it has one."""
  if count == 1:
    return tree
  at = (slice(None),) * axis + (index,)
  return jax.tree.map(lambda x: x[at], tree)


class SeedState:
  """The training state of one of several seeds that share a stepper."""

  def __init__(self, stepper: Stepper, index: int, count: int):
    self._stepper, self._index, self._count = stepper, index, count

  @property
  def params(self) -> Any:
    """The parameters on the devices: arrays [n, ...]."""
    return select(self._stepper.params, self._index, self._count, axis=1)

  def state(self) -> Any:
    """Return the state, on the host."""
    return unreplicate(select(self._stepper.placed, self._index, self._count, axis=1))
