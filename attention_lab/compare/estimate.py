"""Measurement of what a run of a row takes: its start, compilation, steps, evaluations."""

import subprocess
import sys
import time
from typing import NamedTuple

import jax

from attention_lab.compare import cells
from attention_lab.compare.plan import Plan, Planned
from attention_lab.compare.row_costs import stepper_of
from attention_lab.experiment import assemble
from attention_lab.training import forecast, preflight

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
  found = forecast.measure(experiment, stepper, config.batch_size, devices)
  often = forecast.evaluations(
    *(experiment.dataset, config.batch_size, steps),
    *(config.evaluation.every, config.evaluation.batches),
  )
  total = start + found.total(steps, often)
  return Estimate(start, found.compiling, found.step, found.evaluation, total)


def recorded(plan: Plan, row: Planned) -> float | None:
  """Return the mean seconds of a row's finished runs; None if there are none."""
  seconds = [
    cells.summary(plan.cell(row, seed))["seconds"]
    for seed in plan.seeds
    if plan.finished(row, seed)
  ]
  return sum(seconds) / len(seconds) if seconds else None
