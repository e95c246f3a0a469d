"""Trained models from folders of runs and from files: `attention_lab.load`."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack

from attention_lab import config as configs
from attention_lab.api import export
from attention_lab.api.components import Classes, Components, classes_among, held_as
from attention_lab.api.model import Origin, TrainedModel
from attention_lab.api.process import api_call, jax_settings_kept
from attention_lab.api.settings import by_key
from attention_lab.config import Config
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.plugin import consent, discovery
from attention_lab.run import code as run_code
from attention_lab.run import exported
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
  plugins: Sequence[str] = (),
  trust_plugins: bool = False,
  **components: Unpack[Components],
) -> TrainedModel:
  """Return the trained model of a run or a file. Nothing is written or printed.

  Args:
    folder: the run's folder, or a file that `TrainedModel.save` has written, which ends
      in ".safetensors".
    checkpoint: of a folder, "last", "best" (lowest validation loss), or the step of a
      checkpoint.
    average: of a folder, number of the last checkpoints whose mean is taken.
    plugins: modules or .py files that register components of the run; loading one runs
      its code.
    trust_plugins: whether to load the plugins that the run names.
    **components: classes and functions that the run was trained with and nothing
      registers, by the keywords that `train` takes: see `Components`.

  Raises:
    UserError: there is no run, no such checkpoint, or an unknown component.

  Warns:
    UserWarning: code that the run depends on has changed since it was trained.
  """
  classes = by_key(components, {})
  for key, value in classes.items():
    if not classes_among({key: value}):
      raise UserError(f"{key}={value!r}: load takes a class or a function here.")
  return loaded(folder, checkpoint, average, plugins, trust_plugins, lambda _: classes)


def loaded(
  folder: str | Path,
  checkpoint: str | int,
  average: int,
  plugins: Sequence[str],
  trust_plugins: bool,
  classes_of: Callable[[Config], Classes],
) -> TrainedModel:
  """Return a trained model, as `load` does.

  Args:
    folder: as for `load`, and so are the arguments up to `trust_plugins`.
    checkpoint: see folder.
    average: see folder.
    plugins: see folder.
    trust_plugins: see folder.
    classes_of: returns the classes of a configuration whose plugins have been loaded.
  """
  if (
    path := Path(folder).expanduser()
  ).suffix == exported.SUFFIX and not path.is_dir():
    if (checkpoint, average) != ("last", 1):
      raise UserError(f"{path} holds one step; omit checkpoint and average.")
    content = export.read(path)
    config = _known(content.config, plugins, trust_plugins)
    model = _of_file(path, content._replace(config=config), classes_of(config))
  else:
    path = run_folder.existing(str(folder))
    config = _known(changes.trained(path), plugins, trust_plugins)
    model = read(config, path, classes_of(config), checkpoint, average)
  if changed := model.origin.changed_code(model.code):
    warnings.warn(run_code.message(path, changed), stacklevel=4)
  return model


def refuse_of_model(
  checkpoint: str | int, plugins: Sequence[str], trust_plugins: bool
) -> None:
  """Raise `UserError` at arguments of `load` that a model in memory does not use."""
  if checkpoint != "last" or plugins or trust_plugins:
    raise UserError(
      "checkpoint, plugins and trust_plugins are for a folder or a file; omit them for a "
      "model that has been loaded."
    )


def _known(config: Config, plugins: Sequence[str], trust_plugins: bool) -> Config:
  """Return the configuration of a run, whose plugins have been loaded with consent."""
  config.plugins = consent.merged(config.plugins, plugins, "", trust_plugins)
  configs.reset(config, configs.NOT_PASSED_ON)
  discovery.load(config.plugins)
  return config


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
  with held_as(config, classes), jax_settings_kept(config.compile_cache):
    experiment = assemble(config, run_folder.kept(folder))
    code = code_of(config)
    trained = restore(experiment, folder, chosen, config, code, step)
  data = run_folder.recorded_data(folder)
  origin = Origin(folder, run_code.last_code(folder), data)
  return TrainedModel(config, experiment, trained, classes, folder, code, origin)


def _of_file(path: Path, content: export.Content, classes: Classes) -> TrainedModel:
  """Return the model of a file whose components are known."""
  config, trained, files, recorded, data = content
  configs.validate(config)
  with held_as(config, classes), jax_settings_kept(config.compile_cache):
    experiment = assemble(config, files)
    code = code_of(config)
    params = export.nested(experiment, trained.params, path)
  trained, origin = trained._replace(params=params), Origin(path, recorded, data)
  return TrainedModel(config, experiment, trained, classes, None, code, origin)


CHECKPOINTS = {"last": "newest", "best": "best"}  # With the values of the setting.
