"""Training in this process: `attention_lab.train`."""

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from attention_lab import config as configs
from attention_lab.api.components import classes_among, held
from attention_lab.api.display import BarListener
from attention_lab.api.load import read
from attention_lab.api.process import (
  api_call,
  folder_of,
  interrupt,
  jax_settings_kept,
  refuse_other_thread,
)
from attention_lab.api.settings import assign, by_key
from attention_lab.api.training import Training
from attention_lab.attention.base.attention import Attention
from attention_lab.config import Config
from attention_lab.errors import UserError
from attention_lab.mode import train as mode
from attention_lab.plugin import consent, discovery
from attention_lab.run import branch
from attention_lab.run import folder as run_folder
from attention_lab.training.listener import Listen
from attention_lab.training.progress import Show

# Settings that training in this process does not use, with what to do instead.
UNUSED = {
  "dry_run": "use --mode=train",
  "plugins": "name plugins by plugins=[...]",
  "seeds": "call train once for each seed, or use compare",
  "compare.": "use compare",
  "benchmark.": "use benchmark",
  "check.": "use check",
  "processes.": "several processes are for the command line",
}
IN_MEMORY = {"profile": "it writes files, so name a workdir"}


@api_call()
def train(
  experiment: str | Path | type[Attention] | Mapping[str, Any] | Config | None = None,
  *,
  workdir: str | Path | None = None,
  progress: bool = True,
  verbose: bool = False,
  plugins: Sequence[str] = (),
  trust_plugins: bool = False,
  **settings: Any,
) -> Training:
  """Train a model as --mode=train does, in this process, and print nothing.

  Signals, standard output and the configuration of JAX are left as they were. Ctrl-C
  saves a checkpoint, which is kept in `workdir`.

  Args:
    experiment: the attention, as a name with options or as a class; or a configuration:
      that of a file (a path that ends in ".py"), or one by section, such as
      {"steps": 300, "model": {"d_model": 64}}; None for the defaults.
    workdir: folder of the run, as the command writes it; one that holds a run resumes it.
      None for a folder that is removed: the model lives in memory.
    progress: whether to show a bar, on a terminal or in a notebook.
    verbose: whether to print the lines that the command prints, instead of the bar.
    plugins: modules or .py files that register components; loading one runs its code.
    trust_plugins: whether to load the plugins that the run in `workdir` names.
    **settings: as flags, such as steps=300 and dataset="copy", or as the name of a
      setting with two underscores for each dot: model__d_model=64. `attention`,
      `position`, `dataset` and `architecture` also take classes, which need neither a file
      nor a name of their own.

  Raises:
    UserError: a name or setting is unknown, or the configuration cannot be trained.
    KeyboardInterrupt: after Ctrl-C.
  """
  refuse_other_thread("train")
  values = by_key(settings, UNUSED | (IN_MEMORY if workdir is None else {}))
  config = _base(experiment, workdir, values)
  by_user = isinstance(experiment, Path | Mapping | Config) or _is_file(experiment)
  config.plugins = consent.merged(config.plugins, plugins, "", by_user or trust_plugins)
  discovery.load(config.plugins)
  listen: Listen = partial(BarListener, shown=progress)
  if verbose:  # A notebook claims to be a terminal, and shows no bar of one.
    listen = partial(Show, bar=False)
  return _run(config, workdir, values, listen)


def _run(
  config: Config, workdir: str | Path | None, values: dict[str, Any], listen: Listen
) -> Training:
  """Train a configuration with further values; return the results."""
  with contextlib.ExitStack() as stack:
    classes = classes_among(values)
    values |= stack.enter_context(held(classes))
    if workdir is None:  # Nobody would see the events.
      values.setdefault("log.tensorboard", False)
    assign(config, values)
    if config.seeds > 1:
      raise UserError(f"seeds={config.seeds} has no effect here; {UNUSED['seeds']}.")
    stack.enter_context(jax_settings_kept(config.compile_cache))
    folder = stack.enter_context(folder_of(workdir))
    status = mode.run(config, str(folder), listen)
    if not status:
      model = read(config, folder, classes)
      if workdir is None:
        model.folder = None
      return Training.of(folder, model)
  interrupt(status - 128)


def _base(
  experiment: Any, workdir: str | Path | None, values: dict[str, Any]
) -> Config:
  """Return the configuration before keywords; an attention is added to the values.

  It is the user's, that of the run in `workdir`, that of the run to start from, or that of
  the defaults.
  """
  if _is_file(experiment):
    return configs.load_file(str(experiment))
  if isinstance(experiment, Mapping | Config):
    return configs.from_stored(experiment)
  if experiment is not None:
    if "attention" in values:
      raise UserError("Name the attention once.")
    if not isinstance(experiment, str | type):
      raise UserError(
        f"train takes a name, a class or a configuration first, not {experiment!r}."
      )
    values["attention"] = experiment
  stored = None if workdir is None else run_folder.stored_config(Path(workdir))
  source = values.get("train.start_from")
  if stored is None and source:
    stored = branch.stored_config(str(source))
  if stored is None:
    return configs.get_config()
  config = configs.from_stored(stored)
  configs.reset(config, configs.NOT_PASSED_ON)
  return config


def _is_file(experiment: Any) -> bool:
  """Return whether an experiment is the path of a file."""
  return isinstance(experiment, Path) or str(experiment).endswith(".py")
