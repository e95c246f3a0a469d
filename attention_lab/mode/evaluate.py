"""--mode=evaluate: a trained run's loss and accuracy on both splits."""

from typing import Any

from ml_collections import config_dict

from attention_lab import run_folder
from attention_lab.devices import local_devices, refuse_indivisible, replicate
from attention_lab.evaluation import at_lengths, evaluate, evaluate_lengths, told
from attention_lab.experiment import assemble
from attention_lab.files import write_json
from attention_lab.restore import restore_params
from attention_lab.update import make_evaluate


def run(config: config_dict.ConfigDict, workdir: str | None) -> int:
  """Prints the figures and writes evaluation.json."""
  folder = run_folder.existing(workdir)
  devices = local_devices()
  refuse_indivisible(config.batch_size, 1, len(devices))
  experiment = assemble(config)
  run_folder.refuse_other_data(folder, experiment.dataset.fingerprint)
  lengths = at_lengths(experiment, config.evaluation.lengths)
  restored = restore_params(experiment, config, folder)
  params = replicate(restored.params, devices)
  loss = make_evaluate(experiment.loss, devices)
  result: dict[str, Any] = {"step": restored.step, "checkpoint": restored.path.name}
  if restored.averaged:
    result["averaged"] = [path.name for path in restored.averaged]
  for split in ("train", "validation"):
    figures = evaluate(
      loss, params, experiment.dataset, split, config.batch_size, devices
    )
    result[split] = figures
    print(f"step {restored.step}  {split}: {told(figures)}")
  if lengths:
    result["lengths"] = evaluate_lengths(
      experiment.loss, params, lengths, config.batch_size, devices
    )
    for length, figures in result["lengths"].items():
      print(f"step {restored.step}  length {length}: {told(figures)}")
  write_json(folder / "evaluation.json", result)
  print(f"Written to {folder / 'evaluation.json'}")
  return 0
