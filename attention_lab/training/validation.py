"""Validation while training: on a part of a large split, and on all of it at the end."""

from collections.abc import Sequence

from attention_lab.training import leaks
from attention_lab.training.divergence import refuse_nonfinite
from attention_lab.training.due import record_validation
from attention_lab.training.evaluation import (
  batch_sums,
  split_figures,
  validation_subset,
)
from attention_lab.training.listener import Listener
from attention_lab.training.progress import spreads
from attention_lab.training.run import Run
from attention_lab.training.stepper import Stepper
from attention_lab.training.watch import Watch


def validate(
  runs: Sequence[Run], stepper: Stepper, show: Listener, watch: Watch
) -> None:
  """Validate all runs, show the metrics and record them.

  Raises:
    Interrupted: after a signal; nothing was recorded.
    UserError: a loss is not finite, or depends on future tokens.
  """
  step = stepper.step
  leaks.refuse_leak(runs, stepper)
  watch.check()
  subset, whole = _subset(runs[0]), _whole(runs[0])
  numbers = whole if step >= runs[0].options.steps else subset
  losses, figures = [], []
  for run in runs:
    dataset, size = run.experiment.dataset, run.options.batch_size
    sums = batch_sums(
      *(run.measure, run.state.params, dataset, "validation", numbers),
      *(size, run.devices, watch.of("validation")),
    )
    figures.append(split_figures(dataset, "validation", size, numbers, sums))
    of_subset = [sums[numbers.index(i)] for i in subset]
    compared = split_figures(dataset, "validation", size, subset, of_subset)
    losses.append(compared["loss"])
  for run, values in zip(runs, figures, strict=True):
    refuse_nonfinite(run, step, values["loss"])
  show.figures(step, "validation", spreads(figures))
  for run, values, loss in zip(runs, figures, losses, strict=True):
    run.validated, run.comparable_loss = (step, len(numbers)), loss
    record_validation(run, step, values, len(numbers) % len(whole))


def pending(run: Run, step: int) -> bool:
  """Return whether a signal ended the validation of a run that is resumed at a step."""
  options = run.options
  if run.validated is None or not step:  # A new run, or one of an earlier version.
    return False
  if step < options.steps and step % options.validate_every:
    return False
  last, count = run.validated
  due = _whole(run) if step >= options.steps else _subset(run)
  return last != step or count < len(due)


def _subset(run: Run) -> list[int]:
  """Return the batches that every validation has; their loss chooses the best step."""
  options = run.options
  return validation_subset(
    run.experiment.dataset, options.batch_size, options.validate_batches
  )


def _whole(run: Run) -> list[int]:
  """Return the numbers of all batches of the validation split."""
  return validation_subset(run.experiment.dataset, run.options.batch_size, 0)
