"""Reads a trained run's parameters back."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import config_dict

from attention_lab.checkpoint import Checkpoints
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment


class Trained(NamedTuple):
  """Parameters and where they come from."""

  params: Any
  step: int
  path: Path


def restore_params(
  experiment: Experiment, config: config_dict.ConfigDict, folder: Path
) -> Trained:
  """The parameters of the checkpoint that `config.evaluation.checkpoint` names.

  Raises:
    UserError: there is no readable checkpoint.
  """
  like = jax.eval_shape(lambda: experiment.fresh(config.seed))
  checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint.keep)
  restored = checkpoints.restore(like, config.evaluation.checkpoint)
  if restored is None:
    raise UserError(f"{folder} holds no checkpoint yet; train it first.")
  return Trained(restored.tree.params, int(restored.tree.step), restored.path)
