"""Reads what a run has trained, as its configuration says, and refuses that of others."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from attention_lab.config import Config
from attention_lab.experiment import Experiment
from attention_lab.run.restore import Trained, restore_params
from attention_lab.training.identity import refuse_foreign


def restore(
  experiment: Experiment,
  folder: Path,
  config: Config,
  trained: Config,
  code: Mapping[str, str],
  step: int | None = None,
) -> Trained:
  """Return the parameters that settings of `evaluation` choose.

  Args:
    experiment: the model that is to have them.
    folder: the run's folder.
    config: the configuration, which chooses the checkpoint or the mean of several.
    trained: the configuration that the run was trained with.
    code: hashes of today's code of the run.
    step: the checkpoint's step, instead of the settings' choice.

  Raises:
    UserError: there is no such checkpoint, or another run wrote it.
  """
  return restore_params(
    experiment,
    folder,
    config.evaluation.checkpoint if step is None else step,
    config.evaluation.average,
    config.checkpoint.keep,
    partial(refuse_foreign, folder, trained, code),
  )
