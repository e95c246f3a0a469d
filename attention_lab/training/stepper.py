"""The stepper: holds a training state on the devices and advances it."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from attention_lab.dataset.base.dataset import Batch, Dataset, each_array
from attention_lab.distributed.devices import own_devices, replicate, shard, unreplicate
from attention_lab.distributed.group import CALL, Group
from attention_lab.distributed.tree import share_tree
from attention_lab.training.prefetch import (
  Prefetcher,
  filled,
  placed_stack,
  side_by_side,
)
from attention_lab.update import Step, StepMetrics, make_update, map_update

ALONE = Group()
SECONDS_PER_CALL = 0.5  # Target duration of a call: signals are handled between calls.


class NonFinite(Exception):
  """The loss, the gradient or the new parameters of a step are not finite.

  Args:
    step: number of steps taken before it.
    taken: metrics of the steps that the call took before it: arrays [K, ...].
    failed: metrics of the step that was not taken: arrays [...].
  """

  def __init__(self, step: int, taken: StepMetrics, failed: StepMetrics):
    super().__init__(step, taken, failed)
    self.step, self.taken, self.failed = step, taken, failed


class Stepper:
  """Holds a training state on the devices and advances it.

  Args:
    datasets: sources of the batches: one, or one for each seed that the step is mapped
      over.
    step: takes one step, from `update.make_step`.
    fresh: () → the state before the first step, on the host.
    expected: shapes and dtypes of the state.
    devices: the devices to train on.
    batch_size: examples per step, over all devices.
    steps_per_call: largest number of steps per call of the update.
    group: the processes that the devices belong to.
  """

  def __init__(
    self,
    datasets: Sequence[Dataset],
    step: Step,
    fresh: Callable[[], Any],
    expected: Any,
    devices: Sequence[jax.Device],
    batch_size: int,
    steps_per_call: int,
    group: Group = ALONE,
  ):
    self._datasets = datasets
    self._fresh = fresh
    self._devices = devices
    self._batch_size = batch_size
    self._group = group
    # With batches of several shapes, consecutive steps may differ in shape.
    num_shapes = datasets[0].num_shapes
    self._length = 1 if num_shapes > 1 else steps_per_call
    self._step, self._update = step, make_update(step, devices, num_shapes)
    self._prefetcher = Prefetcher(self._make_batches)
    self._loaded: Any = None
    self._state: Any = None
    self._step_seconds = 0.0
    self._reported = (0.0, 0.0)  # Training and waiting seconds at the last `data_wait`.
    self.expected = expected
    self.step = 0  # Steps taken.
    self.seconds = 0.0  # Seconds spent in training steps since this start.
    self.compile_seconds = 0.0

  def load(self, state: Any, step: int) -> None:
    """Continue from a state on the host, after `step` steps."""
    self._loaded, self.step = state, step

  def compile(self, check: Callable[[], None] = lambda: None) -> None:
    """Place the state and compile the update, by a call of zero steps per batch shape.

    Args:
      check: called after each shape.
    """
    start = time.perf_counter()
    state = self.fresh() if self._loaded is None else self._loaded
    self._state, self._loaded = replicate(state, self._devices), None
    shapes = self._datasets[0].shapes("train", self._batch_size)
    self._prefetcher.prefetch(self.step, 1)
    for step in shapes:
      self._state, _ = self._update(self._state, self._make_batches(step, 1), 0)
      check()
    self.compile_seconds = time.perf_counter() - start

  def analyse(self) -> Any:
    """Return XLA's analysis of the memory of a call, on each device; no state is made.

    It is of the last batch shape, that of the longest rows.
    """
    *_, last = self._datasets[0].shapes("train", self._batch_size)
    batches, own = self._make_batches(last, 1), len(own_devices(self._devices))
    state = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct((own, *x.shape), x.dtype), self.expected
    )
    mapped = map_update(self._step, self._devices)
    return (
      mapped.lower(state, batches, np.zeros((), np.int32)).compile().memory_analysis()
    )

  def advance(self, limit: int) -> StepMetrics:
    """Take steps up to step `limit`, for about `SECONDS_PER_CALL`.

    Returns:
      The metrics of the steps taken: arrays [K, ...] on the host.

    Raises:
      NonFinite: a step could not be taken; the state is the one before it.
    """
    start = time.perf_counter()
    count = min(self._length, limit - self.step)
    if self._step_seconds:
      count = max(1, min(count, int(SECONDS_PER_CALL / self._step_seconds)))
    else:
      count = 1  # The first call measures the duration of a step.
    try:
      return self._call(count)
    finally:
      elapsed = time.perf_counter() - start
      self.seconds += elapsed
      self._step_seconds = elapsed / count

  def trial(self, batch: Batch) -> StepMetrics:
    """Return the metrics of a step on a batch, without taking it: arrays [...].

    Args:
      batch: the shard of this process, the same for all seeds.
    """
    of_all = side_by_side([batch] * len(self._datasets), axis=0)
    stacked = filled(each_array(lambda x: x[None], of_all), self._length)
    placed = shard(stacked, self._devices, axis=-2)
    self._state, metrics = self._update(self._state, placed, -1)
    return jax.tree.map(lambda x: x[0], unreplicate(metrics))

  @property
  def placed(self) -> Any:
    """The state on the devices: arrays [n, ...]."""
    return self._state

  @property
  def params(self) -> Any:
    """The parameters on the devices: arrays [n, ...]."""
    return self._state.params

  def state(self) -> Any:
    """Return the state, on the host."""
    return unreplicate(self._state)

  def fresh(self) -> Any:
    """Return the state before the first step, as the first process computes it."""
    # Another machine may compute a state that differs in rounding.
    return self.shared("the first state", self._fresh)

  def shared(self, what: str, make: Callable[[], Any]) -> Any:
    """Return a state that the first process makes, on all processes."""
    with self._group.busy(f"sharing {what}"):
      return share_tree(self._group, make, self.expected)

  def skip_to(self, state: Any) -> None:
    """Skip the step that could not be taken, and continue from `state`."""
    self.step += 1
    step = np.full_like(state.step, self.step)
    self._state = replicate(state._replace(step=step), self._devices)

  def data_wait(self) -> float:
    """Return the share of training time spent waiting for batches since the last call."""
    (seconds, waited), now = self._reported, (self.seconds, self._prefetcher.waited)
    self._reported = now
    return (now[1] - waited) / max(now[0] - seconds, 1e-9)

  def _call(self, count: int) -> StepMetrics:
    batches = self._prefetcher.take(self.step, count)
    # All processes take the smallest number of steps that any of them chose.
    count = -self._group.highest(-count)
    with self._group.busy(f"taking step {self.step}", CALL):
      self._state, metrics = self._update(self._state, batches, count)
      # The call returns at once; the next batches are made while it computes.
      self._prefetcher.prefetch(self.step + count, count)
      metrics = unreplicate(metrics)
    done = int(unreplicate(self._state.step).flat[0]) - self.step
    self.step += done
    taken = jax.tree.map(lambda x: x[:done], metrics)
    if done < count:
      raise NonFinite(self.step, taken, jax.tree.map(lambda x: x[done], metrics))
    return taken

  def _make_batches(self, step: int, count: int) -> Any:
    return placed_stack(
      self._datasets, step, count, self._length, self._batch_size, self._devices
    )
