"""Messages that training prints, line by line."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from attention_lab.dataset.base.dataset import Dataset
from attention_lab.training import forecast
from attention_lab.training.part_table import lengths_of, part_table
from attention_lab.training.progress import spreads
from attention_lab.training.run import Options, Run
from attention_lab.training.stepper import Stepper


def beginning(runs: Sequence[Run], stepper: Stepper, root: Path) -> Iterator[str]:
  """Yield the lines at the start: model, data, devices, and where the run stands."""
  run = runs[0]
  options, dataset = run.options, run.experiment.dataset
  yield from about(dataset, options, run.devices)
  step = stepper.step
  if len(runs) > 1:
    yield f"Seeds {runs[0].seed} to {runs[-1].seed}, side by side"
  yield f"{f'Resuming at step {step}' if step else 'New run'} in {root}"
  if step >= options.steps:
    yield f"Already trained for {step} steps; --steps=M with M above {step} trains further"
  else:
    size, steps = options.batch_size, options.steps
    yield forecast.budget_text(dataset, size, steps, stepper.expected)
  for other in runs if len(runs) > 1 else ():
    if (last := other.checkpoints.last_step()) > step:
      yield (
        f"Seed {other.seed} was at step {last}: the seeds resume together from the last "
        f"step that all of them saved"
      )


def about(
  dataset: Dataset, options: Options, devices: Sequence[jax.Device]
) -> Iterator[str]:
  """Yield the lines about model, data and devices."""
  yield (
    f"{options.attention} attention, position {options.position}, "
    f"{options.architecture}, on {options.dataset}: {options.parameters:,} parameters, "
    f"{len(devices)} {devices[0].platform} device{'s' * (len(devices) > 1)}"
  )
  if options.position_chosen:
    yield (
      f"Position {options.position} is the default of {options.attention}; "
      f"--position takes another"
    )
  if options.changed:
    changed = (f"{key}={value}" for key, value in options.changed.items())
    yield f"Not at its default: {', '.join(changed)}"
  if described := dataset.described(options.batch_size):
    yield described


def crash_note(runs: Sequence[Run], step: int, root: Path) -> str:
  """Return a note for a traceback: how far the run came, and how to resume it."""
  saved = min(run.checkpoints.last_step() for run in runs)
  return (
    f"The run in {root} came to step {step}; its last checkpoint is of step {saved}. "
    f"Resume it with: {runs[0].options.resume}"
  )


def interrupted(runs: Sequence[Run], step: int, paths: Sequence[Path]) -> str:
  """Return the line after a signal; `paths` are the checkpoints saved."""
  saved = str(paths[0])
  if len(paths) > 1:
    saved = f"all {len(paths)} seeds in {runs[0].folder.parent}"
  return (
    f"Interrupted at step {step}; saved {saved}. Resume with: {runs[0].options.resume}"
  )


def ending(
  summaries: Sequence[Mapping[str, Any]], runs: Sequence[Run], root: Path
) -> Iterator[str]:
  """Yield the lines at the end: final metrics, and the files written."""
  yield f"     train: {format_figures(*(x['train'] for x in summaries))}"
  line = f"validation: {format_figures(*(x['validation'] for x in summaries))}"
  if "above_best" in summaries[0]:
    above = np.mean([x["above_best"] for x in summaries])
    line += f", {above:.4f} nats above the best possible"
  yield line
  for key in ("bleu", "chrf"):
    if key in summaries[0]["validation"]:
      scores = [x["validation"][key] for x in summaries]
      mean = np.mean([score["value"] for score in scores])
      yield f"validation: {key} {mean:.2f}  ({scores[0]['signature']})"
  for length in summaries[0].get("lengths", {}):
    figures = format_figures(*(x["lengths"][length] for x in summaries))
    yield f"{'length ' + length:>10}: {figures}"
  yield from part_table(
    [
      lengths_of(x["sequence_length"], x["validation"], x.get("lengths", {}))
      for x in summaries
    ]
  )
  names = ", ".join(f"seed{run.seed}" for run in runs)
  each = f", in each of {names}" if len(runs) > 1 else ""
  yield f"Written to {root}{each}: {runs[0].options.files}"


def format_figures(*seeds: Mapping[str, Any]) -> str:
  """Return metrics as text: of one run, or the spread over several seeds."""
  names = {
    "loss": "loss {} nats",
    "accuracy": "accuracy {}",
    "sequence_accuracy": "sequence accuracy {}",
    "bits_per_byte": "{} bits per byte",
    "perplexity": "perplexity {}",
    "word_perplexity": "{} per word",
  }
  for key in seeds[0]:
    if key.startswith("loss/"):  # Of one source of a mixture.
      names[key] = f"{key.removeprefix('loss/')} {{}} nats"
  known = [{key: x[key] for key in names if key in x} for x in seeds]
  spread = spreads(known, lambda x: f"{x:.4f}" if x < 1000 else f"{x:.4g}")
  return ", ".join(names[key].format(spread[key]) for key in spread)
