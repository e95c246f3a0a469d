"""What training says on the terminal of itself, line by line."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import config_dict

from attention_lab.run import folder as run_folder
from attention_lab.run.recorder import Logbook
from attention_lab.training.evaluation import told


def beginning(
  config: config_dict.ConfigDict,
  parameters: int,
  devices: Sequence[jax.Device],
  described: str,
) -> Iterator[str]:
  """What is trained, on what: `described` are the data's own words, if there are any."""
  yield (
    f"{config.attention} attention, position {config.position}, on {config.dataset}: "
    f"{parameters:,} parameters, {len(devices)} {devices[0].platform} "
    f"device{'s' * (len(devices) > 1)}"
  )
  if described:
    yield described


def standing(root: Path, step: int, logbooks: Sequence[Logbook]) -> Iterator[str]:
  """Where a start finds the run, or the runs of several seeds."""
  several = logbooks if len(logbooks) > 1 else ()
  if several:
    first, *_, last = (logbook.config.seed for logbook in several)
    yield f"Seeds {first} to {last}, side by side"
  yield f"{f'Going on at step {step}' if step else 'New run'} in {root}"
  for logbook in several:
    if (further := logbook.checkpoints.last_step()) > step:
      yield (
        f"Seed {logbook.config.seed} was at step {further}: the seeds go on together "
        f"from the last step that all of them saved"
      )


def left(root: Path, step: int, logbooks: Sequence[Logbook]) -> str:
  """Where the run stands, for whoever reads a traceback."""
  saved = min(logbook.checkpoints.last_step() for logbook in logbooks)
  return (
    f"The run in {root} came to step {step}; its last checkpoint is of step {saved}. Go "
    f"on from there with: {command(root, logbooks)}"
  )


def command(root: Path, logbooks: Sequence[Logbook]) -> str:
  """What goes on with the run."""
  if len(logbooks) > 1:
    return f"{run_folder.command()} --workdir={root}"
  words = [f"--plugin={plugin}" for plugin in logbooks[0].config.plugins]
  start = ["python", "-m", "attention_lab.main", f"--workdir={root}"]
  return shlex.join([*start, *words])


def ending(
  summaries: Sequence[Mapping[str, Any]],
  root: Path,
  logbooks: Sequence[Logbook],
) -> Iterator[str]:
  """What came of it, and where it is written."""
  yield f"     train: {told(*(x['train'] for x in summaries))}"
  line = f"validation: {told(*(x['validation'] for x in summaries))}"
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
    figures = told(*(x["lengths"][length] for x in summaries))
    yield f"{'length ' + length:>10}: {figures}"
  names = ", ".join(f"seed{x.config.seed}" for x in logbooks)
  yield (
    f"Written to {root}"
    + (f", in each of {names}" if len(summaries) > 1 else "")
    + ": summary.json, metrics.jsonl, config.json, checkpoints/"
    + ", tensorboard/" * logbooks[0].config.log.tensorboard
  )
