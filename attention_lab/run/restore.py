"""Reads a trained run's parameters back."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import config_dict

from attention_lab.errors import UserError
from attention_lab.experiment import Experiment
from attention_lab.run.checkpoint import Checkpoints


class Trained(NamedTuple):
  """Parameters and where they come from."""

  params: Any
  step: int
  path: Path
  averaged: tuple[Path, ...] = ()  # Of which they are the mean, newest first.


def restore_params(
  experiment: Experiment, config: config_dict.ConfigDict, folder: Path
) -> Trained:
  """The parameters of the checkpoint that `config.evaluation.checkpoint` names.

  Where `config.evaluation.average` is above 1, the mean of so many of the newest
  (arXiv:1706.03762, section 6.1).

  Raises:
    UserError: there is no readable checkpoint, or there are fewer than are averaged.
  """
  like = jax.eval_shape(lambda: experiment.fresh(config.seed))
  checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint.keep)
  if config.evaluation.average > 1:
    return _average(checkpoints, like, config, folder)
  restored = checkpoints.restore(like, config.evaluation.checkpoint)
  if restored is None:
    raise UserError(f"{folder} holds no checkpoint yet; train it first.")
  return Trained(restored.tree.params, int(restored.tree.step), restored.path)


def _average(
  checkpoints: Checkpoints, like: Any, config: config_dict.ConfigDict, folder: Path
) -> Trained:
  """The mean over the newest checkpoints, added up in float64, one read at a time."""
  count = config.evaluation.average
  paths, steps, total = [], [], None
  for restored in checkpoints.newest(like, count):
    paths.append(restored.path)
    steps.append(int(restored.tree.step))
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), restored.tree.params)
    total = params if total is None else jax.tree.map(np.add, total, params)
  if len(paths) < count:
    raise UserError(
      f"--config.evaluation.average={count}: of the newest checkpoints {folder} keeps "
      f"{len(paths)}. Average no more, or train with --config.checkpoint.keep={count}."
    )
  mean = jax.tree.map(
    lambda x, x_like: (x / count).astype(x_like.dtype), total, like.params
  )
  return Trained(mean, steps[0], paths[0], tuple(paths))
