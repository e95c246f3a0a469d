"""A training run that is described and not made: its sizes, and its time by a few steps."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from attention_lab.dataset.base.dataset import num_batches
from attention_lab.experiment import Experiment
from attention_lab.run import folder as run_folder
from attention_lab.run.checkpoint import Checkpoints
from attention_lab.run.disk_space import checkpoint_bytes
from attention_lab.system.memory import bytes_of, refuse_large_step
from attention_lab.training import forecast, messages
from attention_lab.training.evaluation import validation_subset
from attention_lab.training.forecast import size_text
from attention_lab.training.run import Options
from attention_lab.training.stepper import Stepper


class Planned(NamedTuple):
  """A run, or several seeds that share a program, before it starts."""

  experiment: Experiment
  options: Options
  devices: Sequence[jax.Device]
  stepper: Stepper  # Not yet compiled.
  folders: Sequence[Path]  # Of each seed's run.
  flops: int  # Model FLOPs of a step.
  disk: int  # Bytes of the checkpoints that are still to be written.
  files: Mapping[str, bytes]  # What every checkpoint holds besides the state.


def lines(planned: Planned) -> Iterator[str]:
  """Yield the description of a run, and then its times, for which it takes steps.

  Raises:
    UserError: a step does not fit into memory; none has been taken.
  """
  options = planned.options
  yield from messages.about(planned.experiment.dataset, options, planned.devices)
  for rows in (_sizes, _memory, _times):
    found = rows(planned)
    yield from (f"{name:<44}{value}" for name, value in found.items())
  yield "Nothing was trained or written."


def _sizes(planned: Planned) -> dict[str, str]:
  """Return what is known without compiling."""
  dataset, options = planned.experiment.dataset, planned.options
  size, steps = options.batch_size, options.steps
  per_step = dataset.tokens_per_step(size)
  batches = num_batches(dataset, "validation", size)
  some = len(validation_subset(dataset, size, options.validate_batches))
  seeds = len(planned.folders)
  each = " of each seed" if seeds > 1 else ""
  taken = _taken(planned)
  return {
    f"parameters{each}": f"{options.parameters:,}",
    "steps": f"{steps:,}" + f", of which {taken:,} are taken" * (taken > 0),
    f"tokens per step{each}": f"{per_step:,.0f}",
    f"tokens in all{each}": f"{steps * per_step:,.0f}",
    "passes over the training data": f"{forecast.passes(dataset, size, steps):,.3g}",
    "validation split": f"{dataset.size('validation'):,} examples, {batches:,} batches",
    "batches of a validation while training": f"{some:,}",
    "model FLOPs per step" + each: f"{planned.flops:.3g}",
    "model FLOPs in all" + each: f"{planned.flops * steps:.3g}",
  }


def _memory(planned: Planned) -> dict[str, str]:
  """Return the sizes of the state, of a step by XLA's estimate, and of checkpoints."""
  state, analysis = planned.stepper.expected, planned.stepper.analyse()
  temporary = analysis.temp_size_in_bytes
  others = analysis.argument_size_in_bytes + analysis.output_size_in_bytes
  step = temporary + others - analysis.alias_size_in_bytes  # Donated: results, too.
  refuse_large_step(step, planned.devices)
  seeds = len(planned.folders)
  own = checkpoint_bytes(state, {}) // seeds + sum(map(len, planned.files.values()))
  return {
    "memory of the parameters": size_text(bytes_of(state.params)),
    "memory of the optimizer": size_text(bytes_of(state.opt_state)),
    "temporary memory of a step": size_text(temporary),
    "memory of a step in all, by XLA's estimate": size_text(step),
    "a checkpoint": size_text(own),
    "checkpoints to come, at most": size_text(planned.disk),
  }


def _times(planned: Planned) -> dict[str, str]:
  """Take some steps and evaluate some batches; return the seconds."""
  experiment, options = planned.experiment, planned.options
  size, left = options.batch_size, options.steps - _taken(planned)
  times = forecast.measure(experiment, planned.stepper, size, planned.devices)
  often = forecast.evaluations(
    *(experiment.dataset, size, max(left, 1)),
    *(options.validate_every, options.validate_batches),
  )
  seeds = len(planned.folders)
  tokens = experiment.dataset.tokens_per_step(size) * seeds / times.step
  total = times.total(left, often * seeds)
  return {
    "compilation": f"{times.compiling:.1f} s",
    "a step" + " of all seeds" * (seeds > 1): _seconds(times.step),
    "tokens per second": f"{tokens:,.0f}" if tokens >= 100 else f"{tokens:.3g}",
    "an evaluation of the validation split": _seconds(times.evaluation),
    "time of the run, about": f"{forecast.duration(total)} on this machine, besides its "
    f"start, checkpoints and samples",
  }


def _seconds(seconds: float) -> str:
  """Return a duration as text, with its unit."""
  if seconds >= 100:
    return f"{seconds:,.0f} s"
  return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def _taken(planned: Planned) -> int:
  """Return the steps that the runs have taken already."""
  places = [folder / run_folder.CHECKPOINTS for folder in planned.folders]
  return min(Checkpoints(place, 1).last_step() for place in places)
