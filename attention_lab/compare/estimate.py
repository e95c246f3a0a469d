"""Measurement of what a run of a row takes: its start, compilation, steps, evaluations."""

import contextlib
import subprocess
import sys
import time
from typing import NamedTuple

import jax

from attention_lab.compare import cells
from attention_lab.compare.plan import Plan, Planned
from attention_lab.compare.row_costs import stepper_of
from attention_lab.config import Config
from attention_lab.dataset.base.dataset import num_batches
from attention_lab.experiment import Experiment, assemble
from attention_lab.training import preflight
from attention_lab.training.evaluation import validation_subset
from attention_lab.training.prefetch import placed_batches
from attention_lab.training.stepper import NonFinite, Stepper
from attention_lab.update import make_evaluate

STEPS_SECONDS = 1.0  # Time that steps of a row are taken for.
BATCHES = 2  # Batches of a split that are evaluated.
IMPORTS = (
  "import attention_lab.mode.train; from attention_lab.plugin import discovery; "
  "discovery.load()"
)


class Estimate(NamedTuple):
  """Seconds of one run."""

  start: float  # Python, imports and the checks before training.
  compiling: float  # The step and the evaluation.
  step: float  # One step.
  evaluation: float  # One evaluation of a split.
  total: float


def imports() -> float:
  """Return the seconds until a new process has imported what a run needs."""
  begin = time.perf_counter()
  subprocess.run([sys.executable, "-c", IMPORTS], check=False, capture_output=True)
  return time.perf_counter() - begin


def measure(row: Planned, steps: int, imports: float) -> Estimate:
  """Measure a row on this machine: a few seconds, most of them of compiling.

  Args:
    row: the row.
    steps: number of steps of a run.
    imports: from `imports`.
  """
  config, devices = row.config, jax.local_devices()[:1]
  begin = time.perf_counter()
  preflight.check(config, devices)
  start = imports + time.perf_counter() - begin
  experiment = assemble(config)
  stepper = stepper_of(experiment, config, devices)
  stepper.compile()
  step = _step(stepper)
  compile_evaluation, evaluation = _evaluation(experiment, stepper, config)
  compiling = stepper.compile_seconds + compile_evaluation
  dataset, size = experiment.dataset, config.batch_size
  count = len(validation_subset(dataset, size, config.evaluation.batches))
  share = count / num_batches(dataset, "validation", size)
  # The end of training evaluates the whole split, and the training split too.
  evaluations = (steps - 1) // config.evaluation.every * share + 2
  total = start + compiling + steps * step + evaluations * evaluation
  return Estimate(start, compiling, step, evaluation, total)


def recorded(plan: Plan, row: Planned) -> float | None:
  """Return the mean seconds of a row's finished runs; None if there are none."""
  seconds = [
    cells.summary(plan.cell(row, seed))["seconds"]
    for seed in plan.seeds
    if plan.finished(row, seed)
  ]
  return sum(seconds) / len(seconds) if seconds else None


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
  experiment: Experiment, stepper: Stepper, config: Config
) -> tuple[float, float]:
  """Return the seconds to compile an evaluation, and those of evaluating a split."""
  dataset, devices = experiment.dataset, jax.local_devices()[:1]
  run = make_evaluate(experiment.measure, devices, dataset.num_shapes)
  count = num_batches(dataset, "validation", config.batch_size)
  timed = min(BATCHES, count)
  seconds = []
  for _ in range(2):  # The first time compiles.
    begin = time.perf_counter()
    batches = placed_batches(
      dataset, "validation", range(timed), config.batch_size, devices
    )
    jax.block_until_ready([run(stepper.params, batch) for batch in batches])
    seconds.append(time.perf_counter() - begin)
  return max(seconds[0] - seconds[1], 0.0), seconds[1] * count / timed
