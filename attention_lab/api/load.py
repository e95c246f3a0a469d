"""Trained models from the folders of their runs: `attention_lab.load`."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from attention_lab import config as configs
from attention_lab.api.components import Classes, held
from attention_lab.api.model import TrainedModel
from attention_lab.api.process import api_call, jax_settings_kept
from attention_lab.architecture.base.architecture import Architecture
from attention_lab.attention.base.attention import Attention
from attention_lab.config import Config
from attention_lab.dataset.base.dataset import Dataset
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.plugin import consent, discovery
from attention_lab.position.base.position import Position
from attention_lab.run import code as run_code
from attention_lab.run import folder as run_folder
from attention_lab.training import changes
from attention_lab.training.preflight import code_of
from attention_lab.training.restoring import restore


@api_call()
def load(
  folder: str | Path,
  checkpoint: str | int = "last",
  *,
  average: int = 1,
  attention: type[Attention] | None = None,
  position: type[Position] | None = None,
  dataset: type[Dataset] | None = None,
  architecture: type[Architecture] | None = None,
  plugins: Sequence[str] = (),
  trust_plugins: bool = False,
) -> TrainedModel:
  """Return the trained model of a run. Nothing is written or printed.

  Args:
    folder: the run's folder.
    checkpoint: "last", "best" (lowest validation loss), or the step of a checkpoint.
    average: number of the last checkpoints whose mean is taken.
    attention: the class, if the run was trained with one that is not registered.
    position: as attention.
    dataset: as attention.
    architecture: as attention.
    plugins: modules or .py files that register components of the run; loading one runs
      its code.
    trust_plugins: whether to load the plugins that the run names.

  Raises:
    UserError: there is no run, no such checkpoint, or an unknown component.

  Warns:
    UserWarning: code that the run depends on has changed since it was trained.
  """
  given = {
    "attention": attention,
    "position": position,
    "dataset": dataset,
    "architecture.name": architecture,
  }
  classes = {key: value for key, value in given.items() if value is not None}
  folder = run_folder.existing(str(folder))
  config = changes.trained(folder)
  config.plugins = consent.merged(config.plugins, plugins, "", trust_plugins)
  configs.reset(config, {"compile_cache", "checkpoint.changed_code"})
  discovery.load(config.plugins)
  model = read(config, folder, classes, checkpoint, average)
  if changed := run_code.changed_code(folder, model.code):
    warnings.warn(run_code.message(folder, changed), stacklevel=3)
  return model


def read(
  config: Config,
  folder: Path,
  classes: Classes,
  checkpoint: str | int = "last",
  average: int = 1,
) -> TrainedModel:
  """Return the trained model of a run whose components are known.

  Args:
    config: the configuration that the run was trained with.
    folder: the run's folder.
    classes: the classes that the configuration names and nothing registers, by setting.
    checkpoint: "last", "best" or a step.
    average: number of the last checkpoints whose mean is taken.
  """
  chosen = config.copy_and_resolve_references()
  step = None
  if isinstance(checkpoint, int):
    step = checkpoint
  elif checkpoint in CHECKPOINTS:
    chosen.evaluation.checkpoint = CHECKPOINTS[checkpoint]
  else:
    raise UserError(f"checkpoint={checkpoint!r}: take 'last', 'best' or a step.")
  if average > 1 and checkpoint != "last":
    raise UserError(f"average={average} takes the last checkpoints; omit checkpoint.")
  configs.set_value(chosen, "evaluation.average", average)
  configs.validate(chosen)
  names = dict(configs.flatten(config))
  with (
    held(classes, {key: names[key] for key in classes}),
    jax_settings_kept(config.compile_cache),
  ):
    experiment = assemble(config, run_folder.kept(folder))
    code = code_of(config)
    trained = restore(experiment, folder, chosen, config, code, step)
  return TrainedModel(config, experiment, trained, classes, folder, code)


CHECKPOINTS = {"last": "newest", "best": "best"}  # With the values of the setting.
