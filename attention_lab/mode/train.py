"""--mode=train: trains, or goes on where an earlier run of the folder stopped.

With --seeds=5 five runs that differ in their seed alone train side by side, in one
program; each has a folder as if it had trained alone.
"""

import contextlib

from ml_collections import config_dict

from attention_lab.conformance.leak import refuse_leak
from attention_lab.distributed.devices import all_devices, here, refuse_indivisible
from attention_lab.distributed.start import current, refuse_differences
from attention_lab.run import folder as run_folder
from attention_lab.run.null_recorder import Bystander
from attention_lab.run.recorder import Logbook
from attention_lab.run.shared_folder import kept_files, one_folder
from attention_lab.system.memory import refuse_large_state
from attention_lab.training.divergence import refuse_policy
from attention_lab.training.loop import Training
from attention_lab.training.preflight import looked_over
from attention_lab.training.seeds import own_configs, own_folders
from attention_lab.training.stepper import Trainer


def run(config: config_dict.ConfigDict, workdir: str | None) -> int:
  """Trains; returns the exit status (0, or 128 + signal where one ended it)."""
  group, devices = current(), all_devices()
  refuse_indivisible(config.batch_size, config.train.micro_batches, len(devices))
  own = own_configs(config)
  refuse_policy(config, len(own))
  root = one_folder(group, config, workdir)
  folders = own_folders(root, own)
  experiment, lengths, sampler = looked_over(config, kept_files(group, folders))
  dataset = experiment.dataset
  trainer = Trainer(experiment, own[0], devices, len(own), group)  # Traces the model.
  refuse_large_state(trainer.expected, len(own), here(devices))
  if group.first and not config.skip_checks:
    for spec, build in experiment.causal.items():
      refuse_leak(spec, build, config.position, config.kernel)
  refuse_differences(group, "data", {"sha256": dataset.fingerprint})
  files, logbooks = dataset.files(), []
  with contextlib.ExitStack() as stack:
    for folder, each in zip(folders, own, strict=True):
      if group.first:
        stack.enter_context(run_folder.held(folder, each, dataset.fingerprint))
      kind = Logbook if group.first else Bystander
      logbooks.append(kind(folder, each, files, len(own)))
    parts = (experiment, trainer, root, logbooks, sampler, lengths, devices, group)
    return Training(*parts).run()
