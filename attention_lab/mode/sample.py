"""--mode=sample: text from a trained run."""

from ml_collections import config_dict

from attention_lab import run_folder
from attention_lab.evaluation import Sampler
from attention_lab.experiment import assemble
from attention_lab.restore import restore_params


def run(config: config_dict.ConfigDict, workdir: str | None) -> int:
  """Prints the prompt with each of its continuations."""
  folder = run_folder.existing(workdir)
  experiment = assemble(config, run_folder.kept(folder))
  sampler = Sampler(experiment, config.sample)
  restored = restore_params(experiment, config, folder)
  for text in sampler(restored.params):
    print(text, end="\n\n" if config.sample.count > 1 else "\n")
  return 0
