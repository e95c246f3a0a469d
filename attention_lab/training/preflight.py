"""Preflight: refuses a configuration that cannot be trained, before anything is written.

This is the one list of what training refuses; --mode=train, --mode=compare and its
--dry_run use it alike.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from attention_lab.attention.base.attention import attentions
from attention_lab.benchmark.utilisation import flops_per_step
from attention_lab.config import (
  Config,
  flatten,
  get_config,
  validate,
)
from attention_lab.conformance.leak import Calls, refuse_leak
from attention_lab.dataset.base.dataset import Dataset
from attention_lab.dataset.base.validation import refuse_invalid_dataset
from attention_lab.decode.sampler import SampleOptions, Sampler, make_sampler
from attention_lab.decode.translator import Translator, refuse_unscored
from attention_lab.distributed.devices import own_devices, refuse_indivisible
from attention_lab.errors import UserError, one_line
from attention_lab.experiment import Experiment, assemble, assemble_plain
from attention_lab.named_parts import named_attentions, with_position
from attention_lab.plugin import attribution, usage
from attention_lab.plugin.registry import by_setting
from attention_lab.run import code as run_code
from attention_lab.run import folder as run_folder
from attention_lab.run import lost
from attention_lab.run.disk_space import bytes_to_come, refuse_full
from attention_lab.system.code_hash import used_code
from attention_lab.system.memory import (
  out_of_memory,
  refuse_large_batches,
  refuse_large_state,
)
from attention_lab.training.changes import (
  refuse_other_config,
  refuse_other_source,
  trained,
)
from attention_lab.training.divergence import refuse_policy
from attention_lab.training.evaluation import at_lengths
from attention_lab.update import TrainState, count_parameters


class Checked(NamedTuple):
  """An experiment that can be trained, with its sizes."""

  experiment: Experiment
  fresh: Callable[[Any], TrainState]  # The jitted `Experiment.fresh`.
  state: TrainState  # Shapes and dtypes of one run's state.
  parameters: int
  extra_lengths: dict[int, Dataset]  # To evaluate the end of the run at.
  sampler: Sampler | Translator | None
  leak_check: str  # "passed", "skipped" or "not applicable".
  exact: bool  # Whether the leak check saw no change, by rounding either.
  disk_bytes: int  # Size of the checkpoints that are still to be written.
  code: dict[str, str]  # Hashes of the code that the run's numbers depend on.
  position_chosen: bool = False  # Whether --position=auto chose the positional scheme.


def check(
  config: Config,
  devices: Sequence[jax.Device],
  folders: Sequence[Path] = (),
  kept: Mapping[str, bytes] = MappingProxyType({}),
  first: bool = True,
) -> Checked:
  """Return the experiment of a configuration, or raise what training would refuse.

  Nothing is written but the verdict of the leak check, in the user's cache.

  Args:
    config: the configuration, with the first seed.
    devices: the devices that each step is split over.
    folders: the folder of each seed's run; none for a process that does not write.
    kept: files of the run to resume, as `assemble` takes them.
    first: whether this process runs the leak check and looks at the folders.

  Raises:
    UserError: the configuration cannot be trained.
  """
  _refuse_settings(config, devices, folders)
  experiment = assemble(config, kept)
  dataset, code = experiment.dataset, code_of(config)
  _refuse_data(config, experiment)
  extra_lengths = at_lengths(experiment, config.evaluation.extra_lengths)
  sampler = make_sampler(experiment, *sample_options(config), clip=True)
  fresh = jax.jit(experiment.fresh)
  with _of_attention(config.attention):
    state = jax.eval_shape(fresh, np.uint32(0))
  refuse_large_state(state, config.seeds, own_devices(devices))
  if first:
    refuse_other_source(config, dataset.vocabulary, state, folders)
  _refuse_changes(config, folders, dataset, code)
  parts, own_fresh = config.train.micro_batches, fresh if first else None
  calls = Calls(config.batch_size, parts, len(devices), extra_lengths)
  leak_check, exact = _check_leaks(config, experiment, calls, own_fresh, code)
  needed = bytes_to_come(folders, config.checkpoint.keep, state, dataset.files())
  if folders:
    refuse_full(folders[0], needed, config.checkpoint.keep)
  return Checked(
    experiment,
    fresh,
    state,
    count_parameters(state.params),
    *(extra_lengths, sampler, leak_check, exact, needed, code),
  )


def code_of(config: Config, common: str = "attention_lab.mode.train") -> dict[str, str]:
  """Return the hashes of the code that the numbers of a configuration depend on.

  Args:
    config: the configuration; its components are known.
    common: module that computes the numbers; by default those of a training run.
  """
  values = dict(flatten(with_position(config)))
  named = [(registry, values[key]) for key, registry in by_setting().items()]
  named += [(attentions, text) for text in named_attentions(config).values()]
  components = [usage.definitions_of(registry, text) for registry, text in named]
  return used_code([common], set[Any]().union(*components))


def _refuse_settings(
  config: Config, devices: Sequence[jax.Device], folders: Sequence[Path]
) -> None:
  """Raise `UserError` at settings that do not go together, or with the folders."""
  refuse_indivisible(config.batch_size, config.train.micro_batches, len(devices))
  refuse_policy(config.train.on_nonfinite, config.seeds)
  if folders:
    for folder, own in zip(folders, seed_configs(config), strict=True):
      refuse_other_config(folder, own)


def _refuse_changes(
  config: Config, folders: Sequence[Path], dataset: Dataset, code: Mapping[str, str]
) -> None:
  """Raise `UserError` if a folder's run lost its checkpoints, or had other data or code."""
  lost.refuse_lost_checkpoints(folders)
  for folder in folders:
    run_folder.refuse_other_data(folder, dataset.fingerprint)
    before = _code_before(folder, config, code)
    run_code.refuse_other_code(folder, before, config.checkpoint.changed_code)


def _code_before(
  folder: Path, config: Config, code: Mapping[str, str]
) -> Mapping[str, str]:
  """Return today's code for the schedule of a folder's run, which may be continued."""
  if run_folder.stored_config(folder) is None:
    return code
  own = config.copy_and_resolve_references()
  own.train.schedule = trained(folder).train.schedule
  return code if own.train.schedule == config.train.schedule else code_of(own)


def _refuse_data(config: Config, experiment: Experiment) -> None:
  """Raise `UserError` at a dataset that cannot be trained on."""
  tokens = config.batch_size * experiment.dataset.sequence_length
  refuse_large_batches(tokens, config.train.steps_per_call)
  refuse_invalid_dataset(experiment.dataset, config.batch_size)
  if config.evaluation.scores:
    refuse_unscored(experiment)


def settle_length(
  config: Config, kept: Mapping[str, bytes] = MappingProxyType({})
) -> None:
  """Replace a budget of tokens by the smallest number of steps that covers it, in place.

  Args:
    config: the configuration.
    kept: files of the run to resume, as `assemble` takes them.

  Raises:
    UserError: a step sees more tokens, or there are too many steps.
  """
  if (tokens := config.train.tokens) is None:
    return
  validate(config)
  dataset = assemble(config, kept).dataset
  per_step = dataset.tokens_per_step(config.batch_size)
  if tokens < per_step:
    raise UserError(
      f"--config.train.tokens={tokens}: a step sees {per_step:,.0f} tokens (--batch_size="
      f"{config.batch_size} examples of {dataset.sequence_length}); take that or more."
    )
  config.steps, config.train.tokens = math.ceil(tokens / per_step), None
  validate(config)


def with_seed(config: Config, seed: int) -> Config:
  """Return the configuration of one run with another seed, with its position named.

  Raises:
    UserError: the seed is too large.
  """
  own = with_position(config)
  own.seed, own.seeds = seed, 1
  validate(own)
  return own


def seed_configs(config: Config) -> list[Config]:
  """Return the configuration of each seed's run.

  Raises:
    UserError: a seed is too large.
  """
  return [with_seed(config, config.seed + i) for i in range(config.seeds)]


@contextlib.contextmanager
def _of_attention(attention: str) -> Iterator[None]:
  """Convert an exception of the model to a `UserError`."""
  try:
    yield
  except UserError:
    raise
  except Exception as error:
    plugin_error = out_of_memory(error) or attribution.of_plugin(error)
    if plugin_error is not None:
      raise plugin_error from error
    raise UserError(f"--attention={attention}: {one_line(error)}.") from error


# Settings that a model's outputs depend on.
OF_MODEL = ("architecture", "attention", "kernel", "model", "position")


def _check_leaks(
  config: Config,
  experiment: Experiment,
  calls: Calls,
  fresh: Callable[[Any], TrainState] | None,
  code: Mapping[str, str],
) -> tuple[str, bool]:
  """Run the leak check of a causal model; return `leak_check` and `exact` of `Checked`.

  Args:
    config: the configuration.
    experiment: the experiment.
    calls: how the run calls the model.
    fresh: seed → the state before the first step; None to leave the check to others.
    code: hashes of the code that the model depends on.
  """
  verdict = "passed" if experiment.causal else "not applicable"
  if not experiment.causal and experiment.model.separator is None:
    return verdict, False
  if config.skip_checks:
    return "skipped", False
  exact = False
  if fresh is not None:
    settings = {
      key: value
      for key, value in flatten(with_position(config).to_dict())
      if key.partition(".")[0] in OF_MODEL
    } | {"code": sorted(code.items())}
    seed = np.uint32(config.seed)
    with _of_attention(config.attention):
      exact = refuse_leak(
        experiment, calls, lambda: fresh(seed).params, config.attention, settings
      )
  return verdict, exact


def sample_options(config: Config) -> tuple[SampleOptions, list[str]]:
  """Return the options of section `sample`, and the names of those that were changed."""
  sample, defaults = config.sample, get_config().sample
  changed = [name for name in sample if sample[name] != defaults[name]]
  return SampleOptions(**sample), changed


def training_flops(
  config: Config, kept: Mapping[str, bytes] = MappingProxyType({})
) -> int:
  """Return the model FLOPs of one training step of a configuration."""
  return flops_per_step(assemble_plain(config, kept), config.batch_size)


def parameters(config: Config) -> int:
  """Return the number of parameters of a configuration's model; none is made.

  Raises:
    UserError: the model cannot be built.
  """
  experiment = assemble(config)
  with _of_attention(config.attention):
    return count_parameters(jax.eval_shape(lambda: experiment.init(0)))
