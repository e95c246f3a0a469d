"""The training loop: calls the update, and stops where something is due."""

import functools
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import config_dict

from attention_lab.devices import replicate, unreplicate
from attention_lab.experiment import Experiment
from attention_lab.feed import Ahead, placed_stack
from attention_lab.metrics import Sums, means
from attention_lab.update import TrainState, make_update

SECONDS_PER_CALL = 0.5  # What a call may take, so that a signal is soon answered.


class NonFinite(Exception):
  """The loss or the gradient of a step is not a number; the step was not taken."""

  def __init__(self, step: int, loss: float, grad_norm: float):
    super().__init__(step, loss, grad_norm)
    self.step, self.loss, self.grad_norm = step, loss, grad_norm


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
  """Owns the state on the devices and advances it.

  Args:
    experiment: what is trained.
    config: the run's configuration.
    devices: where.
  """

  def __init__(
    self,
    experiment: Experiment,
    config: config_dict.ConfigDict,
    devices: Sequence[jax.Device],
  ):
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
    )
    self._fresh = functools.partial(experiment.fresh, config.seed)
    self.expected: TrainState = jax.eval_shape(self._fresh)  # Shapes and dtypes.
    self._loaded: TrainState | None = None
    self.step = 0
    self.window = Window([], [], [], [])
    self.seconds = 0.0  # Spent in training steps, over all starts.
    self.compile_seconds = 0.0
    self._state: Any = None
    self._step_seconds = 0.0
    self._ahead = Ahead(self._make)
    self._reported = (0.0, 0.0)  # Seconds trained and waited when last asked.

  def load(
    self, state: TrainState, window: Sequence[list[float]], seconds: float
  ) -> None:
    """Goes on from a state (host arrays), with the figures not yet reported and the
    seconds trained so far."""
    self._loaded = state
    self.step = int(state.step)
    self.window = Window(*(list(values) for values in window))
    self.seconds = seconds

  def compile(self) -> None:
    """Places the state and compiles the update, by a call for each shape of the batches
    that runs no step."""
    start = time.perf_counter()
    state = self._loaded if self._loaded is not None else jax.jit(self._fresh)()
    self._state = replicate(state, self._devices)
    shapes = self._dataset.shapes("train", self._batch_size)
    self._ahead.foresee(self.step, 1)
    for step in shapes:
      self._state, _ = self._update(self._state, self._make(step, 1), 0)
    self.compile_seconds = time.perf_counter() - start

  def advance(self, limit: int) -> None:
    """Takes steps until `limit`, or for about half a second.

    Raises:
      NonFinite: a step could not be taken; the state is that before it.
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

  def state(self) -> TrainState:
    """The state, on the host."""
    state: TrainState = unreplicate(self._state)
    return state

  def params(self) -> Any:
    """The parameters, on the devices."""
    return self._state.params

  def take_report(self) -> dict[str, float]:
    """The figures since the last report."""
    report = self.window.report()
    self.window = Window([], [], [], [])
    return report

  def data_wait(self) -> float:
    """The share of the training time since the last call that was spent on waiting for
    batches."""
    (seconds, waited), now = self._reported, (self.seconds, self._ahead.waited)
    self._reported = now
    return (now[1] - waited) / max(now[0] - seconds, 1e-9)

  def _call(self, count: int) -> None:
    batches = self._ahead.take(self.step, count)
    self._state, metrics = self._update(self._state, batches, count)
    # The call above returns at once; the next batches are made while it computes.
    self._ahead.foresee(self.step + count, count)
    metrics = unreplicate(metrics)
    done = int(unreplicate(self._state.step)) - self.step
    per_step = (*metrics.sums, metrics.grad_norm)
    for values, new in zip(self.window, per_step, strict=True):
      values.extend(map(float, new[:done]))
    self.step += done
    if done < count:
      weight = float(metrics.sums.weight[done])
      loss = float(metrics.sums.loss[done]) / max(weight, 1.0)
      raise NonFinite(self.step, loss, float(metrics.grad_norm[done]))

  def _make(self, step: int, count: int) -> Any:
    return placed_stack(
      self._dataset, step, count, self._length, self._batch_size, self._devices
    )
