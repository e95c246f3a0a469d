"""The training loop: calls the update, and stops where something is due.

It trains one seed of an experiment, or several side by side in one program; what there
is one of for each seed comes as a list.
"""

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import config_dict

from attention_lab.distributed.devices import replicate, unreplicate
from attention_lab.distributed.group import CALL, Group
from attention_lab.distributed.tree import share_tree
from attention_lab.experiment import Experiment
from attention_lab.nn.metrics import Sums, means
from attention_lab.training.prefetch import Ahead, placed_stack
from attention_lab.update import TrainState, make_update

ALONE = Group()
SECONDS_PER_CALL = 0.5  # What a call may take, so that a signal is soon answered.


class NonFinite(Exception):
  """The loss, the gradient or the parameters of a step are not finite; it was not taken.

  `index` says which of the seeds it was; no other took the step either.
  """

  def __init__(self, step: int, index: int, loss: float, grad_norm: float):
    super().__init__(step, index, loss, grad_norm)
    self.step, self.index, self.loss, self.grad_norm = step, index, loss, grad_norm


class Window(NamedTuple):
  """The steps since figures were last reported, a list entry for each."""

  loss: list[float]
  correct: list[float]
  weight: list[float]
  grad_norm: list[float]

  def report(self) -> dict[str, float]:
    """Means over the window, in an order of summation that a resume repeats."""
    figures = means(Sums(self.loss, self.correct, self.weight))  # type: ignore[arg-type]
    return figures | {"grad_norm": float(np.mean(self.grad_norm))}


class Trainer:
  """Owns the states on the devices and advances them.

  Args:
    experiment: what is trained.
    config: the configuration of the first seed.
    devices: where.
    seeds: how many seeds are trained, each the next number.
    group: the processes whose devices these are.
  """

  def __init__(
    self,
    experiment: Experiment,
    config: config_dict.ConfigDict,
    devices: Sequence[jax.Device],
    seeds: int = 1,
    group: Group = ALONE,
  ):
    self._group = group
    self._dataset = experiment.dataset
    self._batch_size = config.batch_size
    # Steps that follow each other share a shape by chance: a call takes one of them.
    several = experiment.dataset.num_shapes > 1
    self._length = 1 if several else config.train.steps_per_call
    self._devices = devices
    self._update = make_update(
      experiment.loss,
      experiment.optimizer,
      devices,
      config.train.micro_batches,
      experiment.dataset.num_shapes,
      seeds,
    )
    self._seeds = [np.uint32(config.seed + i) for i in range(seeds)]
    self._fresh = jax.jit(experiment.fresh)  # One program for every seed.
    # Of one seed: shapes and dtypes.
    self.expected: TrainState = jax.eval_shape(self._fresh, self._seeds[0])
    self._loaded: Sequence[TrainState] = ()
    self.step = 0
    self.windows = [Window([], [], [], []) for _ in self._seeds]
    self.seconds = 0.0  # Spent in training steps since this start, by all seeds.
    self.compile_seconds = 0.0
    self._state: Any = None
    self._step_seconds = 0.0
    self._ahead = Ahead(self._make)
    self._reported = (0.0, 0.0)  # Seconds trained and waited when last asked.

  def load(
    self, states: Sequence[TrainState], windows: Sequence[Sequence[list[float]]]
  ) -> None:
    """Goes on from each seed's state (host arrays), all of one step, with the figures
    not yet reported."""
    (self.step,) = {int(state.step) for state in states}
    self._loaded = states
    self.windows = [Window(*map(list, window)) for window in windows]

  def compile(self) -> None:
    """Places the states and compiles the update, by a call for each shape of the batches
    that runs no step."""
    start = time.perf_counter()
    self._state = replicate(_together(self._loaded or self.fresh()), self._devices)
    shapes = self._dataset.shapes("train", self._batch_size)
    self._ahead.foresee(self.step, 1)
    for step in shapes:
      self._state, _ = self._update(self._state, self._make(step, 1), 0)
    self.compile_seconds = time.perf_counter() - start

  def advance(self, limit: int) -> None:
    """Takes steps until `limit`, or for about half a second.

    Raises:
      NonFinite: a step could not be taken; the states are those before it.
    """
    start = time.perf_counter()
    count = min(self._length, limit - self.step)
    if self._step_seconds:
      count = max(1, min(count, int(SECONDS_PER_CALL / self._step_seconds)))
    else:
      count = 1  # The first call measures.
    self._call(count)
    elapsed = time.perf_counter() - start
    self.seconds += elapsed
    self._step_seconds = elapsed / count

  def states(self) -> list[TrainState]:
    """Each seed's state, on the host."""
    state = unreplicate(self._state)
    return [self._one(state, i, leading=0) for i in range(len(self._seeds))]

  def fresh(self) -> list[TrainState]:
    """Each seed's state before the first step."""
    # Another machine may compute another one, by a bit.
    return [
      self.shared("the first state", functools.partial(self._fresh, seed))
      for seed in self._seeds
    ]

  def shared(self, what: str, make: Callable[[], TrainState]) -> TrainState:
    """One seed's state, which the first process makes for all."""
    with self._group.busy(f"sharing {what}"):
      state: TrainState = share_tree(self._group, what, make, self.expected)
    return state

  def leave_out(self, states: Sequence[TrainState]) -> None:
    """Leaves out the step that could not be taken; goes on from each seed's state (host
    arrays) as if that step had led to it."""
    self.step += 1
    step: Any = np.array(self.step, np.int32)
    behind = [state._replace(step=step) for state in states]
    self._state = replicate(_together(behind), self._devices)

  def params(self, index: int) -> Any:
    """A seed's parameters, on the devices."""
    return self._one(self._state.params, index, leading=1)

  def take_reports(self) -> list[dict[str, float]]:
    """Each seed's figures since the last reports."""
    reports = [window.report() for window in self.windows]
    self.windows = [Window([], [], [], []) for _ in self._seeds]
    return reports

  def data_wait(self) -> float:
    """The share of the training time since the last call that was spent on waiting for
    batches."""
    (seconds, waited), now = self._reported, (self.seconds, self._ahead.waited)
    self._reported = now
    return (now[1] - waited) / max(now[0] - seconds, 1e-9)

  def _call(self, count: int) -> None:
    batches = self._ahead.take(self.step, count)
    # All take as many steps in one call as the one that wants the fewest.
    count = -self._group.highest(f"step {self.step}", -count)
    with self._group.busy(f"taking step {self.step}", CALL):
      self._state, metrics = self._update(self._state, batches, count)
      # The call above returns at once; the next batches are made while it computes.
      self._ahead.foresee(self.step + count, count)
      metrics = unreplicate(metrics)
    done = int(unreplicate(self._state.step).flat[0]) - self.step
    figures = [self._by_seed(x) for x in (*metrics.sums, metrics.grad_norm)]
    for i, window in enumerate(self.windows):
      for values, new in zip(window, figures, strict=True):
        values.extend(map(float, new[i, :done]))
    self.step += done
    if done < count:
      i = int(np.argmin(self._by_seed(metrics.taken)[:, done]))  # The first seed's.
      loss, _, weight, norm = (float(new[i, done]) for new in figures)
      raise NonFinite(self.step, i, loss / max(weight, 1.0), norm)

  def _by_seed(self, values: np.ndarray) -> np.ndarray:
    """[K] or [K, seeds] → [seeds, K]."""
    return values.reshape(-1, len(self._seeds)).T

  def _one(self, tree: Any, index: int, leading: int) -> Any:
    """One seed's part of a tree whose axis of seeds, if it has one, is `leading`."""
    if len(self._seeds) == 1:
      return tree
    at = (slice(None),) * leading + (index,)
    return jax.tree.map(lambda x: x[at], tree)

  def _make(self, step: int, count: int) -> Any:
    return placed_stack(
      self._dataset, step, count, self._length, self._batch_size, self._devices
    )


def _together(states: Sequence[TrainState]) -> TrainState:
  """One tree of all seeds' states: with an axis of them in front if there are several."""
  if len(states) == 1:
    return states[0]
  return jax.tree.map(lambda *leaves: np.stack(leaves), *states)
