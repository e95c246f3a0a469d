"""--mode=train: trains a run, or resumes the run in --workdir.

With --seeds=5, five runs that differ only in their seed train side by side in one
program; each has a folder as if it had trained alone.
"""

import contextlib
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from attention_lab.attention.base.default_position import AUTO
from attention_lab.config import Config, changed_settings, words
from attention_lab.dataset.base.pairs import sentences_of
from attention_lab.decode.translator import Translator, score_answers
from attention_lab.distributed.devices import all_devices
from attention_lab.distributed.group import Group
from attention_lab.distributed.start import current, refuse_differences
from attention_lab.errors import UserError
from attention_lab.named_parts import position_of
from attention_lab.run import branch
from attention_lab.run import folder as run_folder
from attention_lab.run.checkpoint import Checkpoints, Restored, restore_together
from attention_lab.run.recorder import Recorder, open_recorder
from attention_lab.run.shared_folder import kept_files, share_path, share_restored
from attention_lab.training import dry_run, preflight
from attention_lab.training.clock import Clock
from attention_lab.training.identity import identity, refuse_foreign
from attention_lab.training.listener import Listen
from attention_lab.training.loop import Loop
from attention_lab.training.preflight import Checked
from attention_lab.training.progress import Show
from attention_lab.training.run import Options, Run
from attention_lab.training.seeds import SeedState, make_stepper, seed_folders, stack
from attention_lab.training.stepper import Stepper
from attention_lab.update import make_evaluate


def run(config: Config, workdir: str | None, listen: Listen = Show) -> int:
  """Train; return the exit status: 0, or 128 + the signal that interrupted it."""
  group, devices = current(), all_devices()
  automatic, config.position = config.position == AUTO, position_of(config)
  seeds = [each.seed for each in preflight.seed_configs(config)]
  root = share_path(group, lambda: run_folder.given_or_new(workdir, words(config)))
  folders = seed_folders(root, seeds)
  kept = kept_files(group, folders)
  preflight.settle_length(config, kept)
  configs = preflight.seed_configs(config)
  own_folders = folders if group.first else []
  checked = preflight.check(config, devices, own_folders, kept, group.first)
  exact = group.highest(int(checked.exact))  # The first one's.
  checked = checked._replace(exact=bool(exact), position_chosen=automatic)
  dataset = checked.experiment.dataset
  refuse_differences(group, "data", {"sha256": dataset.fingerprint})
  stepper = _stepper(config, seeds, checked, devices, group)
  files = dataset.files()
  if config.dry_run:
    return _describe(configs, root, folders, checked, stepper, devices, group)
  with contextlib.ExitStack() as resources:
    for folder in own_folders:
      resources.enter_context(run_folder.held(folder, new=not workdir))
    checkpoints = [
      _checkpoints(folder, each, files, checked)
      for folder, each in zip(folders, configs, strict=True)
    ]
    restored = _restore(group, checkpoints, checked, stepper)
    source = None
    if config.train.start_from and not restored:
      source = _branch(group, configs, checked, stepper)
    for each in configs:  # Steps that were taken stay.
      each.steps = max(each.steps, stepper.step)
    if group.first:  # From here on the folders are certain to be resumable.
      for folder, each in zip(folders, configs, strict=True):
        run_folder.record(
          *(folder, each.to_dict(), dataset.fingerprint, devices, files),
          *(checked.code, source),
        )
    runs = _runs(
      configs, root, folders, checked, stepper, checkpoints, restored, devices, group
    )
    for one in runs:
      resources.callback(one.recorder.close)
    return Loop(stepper, runs, root, listen).run()


def _stepper(
  config: Config,
  seeds: list[int],
  checked: Checked,
  devices: list[jax.Device],
  group: Group,
) -> Stepper:
  """Return what takes the steps of all seeds."""
  train = config.train
  return make_stepper(
    *(checked.experiment, devices, seeds, config.batch_size, train.micro_batches),
    *(train.steps_per_call, group, checked.fresh),
  )


def _describe(
  configs: list[Config],
  root: Path,
  folders: list[Path],
  checked: Checked,
  stepper: Stepper,
  devices: list[jax.Device],
  group: Group,
) -> int:
  """Print the sizes and times of the runs instead of training them; return 0."""
  if group.count > 1:
    raise UserError("--dry_run describes the run of one process; omit it in several.")
  experiment = checked.experiment
  files = experiment.dataset.files()
  planned = dry_run.Planned(
    *(experiment, _options(configs, root, checked), devices, stepper, folders),
    *(preflight.training_flops(configs[0], files), checked.disk_bytes, files),
  )
  for line in dry_run.lines(planned):
    print(line, flush=True)
  return 0


def _checkpoints(
  folder: Path, config: Config, files: Mapping[str, bytes], checked: Checked
) -> Checkpoints:
  """Return the checkpoints of a run, which refuse those of others."""
  refuse = partial(refuse_foreign, folder, config, checked.code)
  return Checkpoints(
    folder / run_folder.CHECKPOINTS, config.checkpoint.keep, files, refuse
  )


def _restore(
  group: Group, checkpoints: list[Checkpoints], checked: Checked, stepper: Stepper
) -> list[Restored]:
  """Load the last step that all runs saved into the stepper; return it per run."""
  restored = restore_together(checkpoints, checked.state) if group.first else []
  restored = share_restored(group, restored, checked.state)
  if restored:
    states = [one.tree for one in restored]
    stepper.load(stack(states), int(states[0].step))
  return restored


def _branch(
  group: Group, configs: list[Config], checked: Checked, stepper: Stepper
) -> dict[str, Any] | None:
  """Load the parameters of another run; return where they are from, if first."""
  states, found, config = [], None, configs[0]
  if group.first:
    train = config.train
    source = branch.read(
      *(train.start_from, checked.state),
      *(config.evaluation.checkpoint, train.from_optimizer),
    )
    found = branch.provenance(train.start_from, source)
    for each in configs:
      tree = branch.start(source, jax.device_get(checked.fresh(np.uint32(each.seed))))
      states.append(Restored(tree, {}, source.path))
  states = share_restored(group, states, checked.state)
  stepper.load(stack([one.tree for one in states]), 0)
  return found


def _runs(
  configs: list[Config],
  root: Path,
  folders: list[Path],
  checked: Checked,
  stepper: Stepper,
  checkpoints: list[Checkpoints],
  restored: list[Restored],
  devices: list[jax.Device],
  group: Group,
) -> list[Run]:
  """Build the run of each seed, and resume it."""
  experiment, count = checked.experiment, len(configs)
  shared: dict[str, Any] = {
    "experiment": experiment,
    "options": _options(configs, root, checked),
    "devices": devices,
    "group": group,
    "measure": make_evaluate(
      experiment.measure, devices, experiment.dataset.num_shapes
    ),
    "attention_weights": jax.jit(experiment.model.attention_weights),
    "sampler": checked.sampler,
    "extra_lengths": checked.extra_lengths,
    "flops_per_step": partial(
      preflight.training_flops, configs[0], experiment.dataset.files()
    ),
    "translate": _scorer(configs[0], checked),
    "siblings": count,
  }
  runs = []
  for i, (config, folder) in enumerate(zip(configs, folders, strict=True)):
    meta = restored[i].meta if restored else None
    run = Run(
      **shared,
      seed=config.seed,
      folder=folder,
      state=SeedState(stepper, i, count) if count > 1 else stepper,
      recorder=_recorder(config, folder, stepper.step, meta, group),
      checkpoints=checkpoints[i],
      clock=Clock(count),
      identity=identity(config, checked.code, experiment.dataset.fingerprint),
    )
    if meta is not None:
      run.resume(meta)
    runs.append(run)
  return runs


def _recorder(
  config: Config, folder: Path, step: int, meta: Any, group: Group
) -> Recorder:
  """Open the recorder of the first process; the others record nothing."""
  if not group.first:
    return Recorder()
  copy = meta["journal"] if meta is not None else ""
  log = config.log
  return open_recorder(folder, step, copy, config.to_dict(), log.tensorboard, log.wandb)


def _scorer(config: Config, checked: Checked) -> Any:
  """Return what computes the scores of translations; None if none are requested."""
  if not config.evaluation.scores:
    return None
  experiment = checked.experiment
  pairs = sentences_of(experiment.dataset, "validation")
  assert pairs is not None  # Preflight refused a dataset without sentences.
  translator = checked.sampler
  assert isinstance(translator, Translator)
  return lambda params, file, on_batch: score_answers(
    translator, params, pairs, file, on_batch
  )


def _options(configs: list[Config], root: Path, checked: Checked) -> Options:
  config, train = configs[0], configs[0].train
  return Options(
    attention=config.attention,
    position=config.position,
    position_chosen=checked.position_chosen,
    dataset=config.dataset,
    architecture=config.architecture.name,
    changed=changed_settings(config),
    parameters=checked.parameters,
    steps=config.steps,
    batch_size=config.batch_size,
    log_every=config.log.every,
    validate_every=config.evaluation.every,
    validate_batches=config.evaluation.batches,
    save_every=config.checkpoint.every,
    learning_rate=train.learning_rate,
    on_nonfinite=train.on_nonfinite,
    nonfinite_limit=train.nonfinite_limit,
    profile=config.profile,
    branched=bool(train.start_from),
    leak_check=checked.leak_check,
    exact=checked.exact,
    files=_files(config),
    resume=_resume_command(configs, root),
  )


def _files(config: Config) -> str:
  """Return the names of what a run leaves in its folder, for the last message."""
  names = [run_folder.SUMMARY, run_folder.METRICS, run_folder.CONFIG]
  folders = [run_folder.CHECKPOINTS]
  if config.log.tensorboard:
    folders.append(run_folder.TENSORBOARD)
  return ", ".join(names + [f"{name}/" for name in folders])


def _resume_command(configs: list[Config], root: Path) -> str:
  if len(configs) > 1:
    return f"{run_folder.command()} --workdir={root}"
  words = [f"--plugin={plugin}" for plugin in configs[0].plugins]
  return shlex.join(["python", "-m", "attention_lab.main", f"--workdir={root}", *words])
