"""Sizes and times of a run before it starts: computed, and measured by a few steps."""

import contextlib
import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from attention_lab.dataset.base.dataset import Dataset, num_batches
from attention_lab.experiment import Experiment
from attention_lab.system.memory import bytes_of
from attention_lab.training.evaluation import validation_subset
from attention_lab.training.prefetch import placed_batches
from attention_lab.training.stepper import NonFinite, Stepper
from attention_lab.update import make_evaluate

STEPS_SECONDS = 1.0  # Time that steps are taken for.
BATCHES = 2  # Batches of a split that are evaluated.


class Times(NamedTuple):
  """Seconds of the parts of a run."""

  compiling: float  # Of the step and the evaluation.
  step: float
  evaluation: float  # Of the whole validation split.

  def total(self, steps: int, evaluations: float) -> float:
    """Return the seconds of a run, without its start, checkpoints and samples."""
    return self.compiling + steps * self.step + evaluations * self.evaluation


def measure(
  experiment: Experiment,
  stepper: Stepper,
  batch_size: int,
  devices: Sequence[jax.Device],
) -> Times:
  """Measure the times on this machine, in a few seconds besides those of compiling.

  Args:
    experiment: the experiment.
    stepper: its stepper, not yet compiled.
    batch_size: examples per step, over all devices.
    devices: the devices.
  """
  stepper.compile()
  step = _step(stepper)
  compiling, evaluation = _evaluation(experiment, stepper, batch_size, devices)
  return Times(stepper.compile_seconds + compiling, step, evaluation)


def evaluations(
  dataset: Dataset, batch_size: int, steps: int, every: int, most: int | None
) -> float:
  """Return how often a run evaluates as many batches as the validation split has.

  The end of training evaluates the whole split, and the training split too.

  Args:
    dataset: the dataset.
    batch_size: examples in a batch.
    steps: steps of the run.
    every: steps between validations.
    most: largest number of batches of a validation, as `validation_subset` takes it.
  """
  count = len(validation_subset(dataset, batch_size, most))
  share = count / num_batches(dataset, "validation", batch_size)
  return math.floor((steps - 1) / every) * share + 2


def passes(dataset: Dataset, batch_size: int, steps: int) -> float:
  """Return how often a run sees each training example, on average."""
  if dataset.num_shapes > 1:  # A batch of shorter rows has more of them.
    return steps / num_batches(dataset, "train", batch_size)
  return steps * batch_size / dataset.size("train")


def budget_text(dataset: Dataset, batch_size: int, steps: int, state: Any) -> str:
  """Return the length of a run and the size of its state as a line.

  Args:
    dataset: the dataset.
    batch_size: examples per step.
    steps: steps of the run.
    state: shapes and dtypes of its state.
  """
  per_step = dataset.tokens_per_step(batch_size)
  return (
    f"{steps:,} steps of {per_step:,.0f} tokens: {steps * per_step:,.0f} tokens, "
    f"{passes(dataset, batch_size, steps):,.3g} passes over the training data; state of "
    f"{size_text(bytes_of(state))}"
  )


def size_text(size: float) -> str:
  """Return bytes as text with three digits or more: "2.45 MB"."""
  units = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
  unit, factor = next((each for each in units if size >= each[1]), ("bytes", 1))
  number = size / factor
  return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"


def duration(seconds: float) -> str:
  """Return seconds as minutes or hours: "2:05" or "1:02:05"."""
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _step(stepper: Stepper) -> float:
  """Return the seconds of a step, whatever its loss."""
  begin, taken = time.perf_counter(), 0
  # Parameters of an untuned row may become infinite, which does not change its time.
  with contextlib.suppress(NonFinite):
    stepper.advance(1)
    begin, taken = time.perf_counter(), stepper.step
    while time.perf_counter() - begin < STEPS_SECONDS:
      stepper.advance(stepper.step + 64)
  return (time.perf_counter() - begin) / max(stepper.step - taken, 1)


def _evaluation(
  experiment: Experiment,
  stepper: Stepper,
  batch_size: int,
  devices: Sequence[jax.Device],
) -> tuple[float, float]:
  """Return the seconds to compile an evaluation, and those of evaluating a split."""
  dataset = experiment.dataset
  run = make_evaluate(experiment.measure, devices, dataset.num_shapes)
  count = num_batches(dataset, "validation", batch_size)
  timed = min(BATCHES, count)
  seconds = []
  for _ in range(2):  # The first time compiles.
    begin = time.perf_counter()
    batches = placed_batches(dataset, "validation", range(timed), batch_size, devices)
    jax.block_until_ready([run(stepper.params, batch) for batch in batches])
    seconds.append(time.perf_counter() - begin)
  return max(seconds[0] - seconds[1], 0.0), seconds[1] * count / timed
