"""Reads the parameters of a trained run."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from attention_lab.errors import UserError
from attention_lab.experiment import Experiment
from attention_lab.run.checkpoint import Checkpoints, Refuse, step_of
from attention_lab.run.folder import CHECKPOINTS


class Trained(NamedTuple):
  """Parameters, and the checkpoints that they were read from."""

  params: Any
  step: int
  path: Path
  averaged: tuple[Path, ...] = ()  # The checkpoints averaged over, newest first.


def restore_params(
  experiment: Experiment,
  folder: Path,
  which: str | int = "newest",
  average: int = 1,
  keep: int = 1,
  refuse: Refuse = lambda path, meta: None,
) -> Trained:
  """Return the parameters of a checkpoint, or the mean over the newest ones.

  Args:
    experiment: what the run trains.
    folder: the run's folder.
    which: "newest", "best" or a step.
    average: if above 1, number of the newest checkpoints to average over
      (arXiv:1706.03762, section 6.1).
    keep: number of newest checkpoints that the run keeps.
    refuse: refuses checkpoints of other runs.

  Raises:
    UserError: there is no such readable checkpoint, there are fewer than `average`, or
      one is refused.
  """
  like = jax.eval_shape(lambda: experiment.fresh(0))
  checkpoints = Checkpoints(folder / CHECKPOINTS, keep, refuse=refuse)
  if average > 1:
    return _average(checkpoints, like, average)
  if isinstance(which, int):
    restored = checkpoints.at(like, which)
  else:
    restored = checkpoints.restore(like, which)
  if restored is None:
    steps = ", ".join(str(step_of(path)) for path in reversed(checkpoints.paths()))
    if steps:
      raise UserError(f"{folder} holds no checkpoint of step {which}, only of {steps}.")
    raise UserError(f"{folder} holds no checkpoint yet; train it first.")
  return Trained(restored.tree.params, int(restored.tree.step), restored.path)


def _average(checkpoints: Checkpoints, like: Any, count: int) -> Trained:
  """Return the mean over the newest checkpoints, summed in float64, read one by one."""
  paths, steps, total = [], [], None
  for restored in checkpoints.newest(like, count):
    paths.append(restored.path)
    steps.append(int(restored.tree.step))
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), restored.tree.params)
    total = params if total is None else jax.tree.map(np.add, total, params)
  if len(paths) < count:
    raise UserError(
      f"--config.evaluation.average={count}: only {len(paths)} of the newest checkpoints "
      f"are in {checkpoints.folder}. Average over fewer, or train with "
      f"--config.checkpoint.keep={count}."
    )
  mean = jax.tree.map(
    lambda x, x_like: (x / count).astype(x_like.dtype), total, like.params
  )
  return Trained(mean, steps[0], paths[0], tuple(paths))
