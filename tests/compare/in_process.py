"""Runs of a comparison in this process, trained or only written as training leaves them."""

import json
from pathlib import Path

import jax

from attention_lab import config as configs
from attention_lab import experiment
from attention_lab.compare import launch, maps
from attention_lab.compare.report import page
from attention_lab.mode import train
from attention_lab.run import folder as run_folder
from attention_lab.settings.flags import NAMED
from attention_lab.training import preflight
from attention_lab.training.seeds import seed_folders


def config_of(words):
  """Return the configuration that flags of settings give a run."""
  config = configs.get_config()
  for word in words:
    flag, _, text = word.removeprefix("--").partition("=")
    if flag != "plugin":  # It is loaded already.
      configs.set_text(config, NAMED.get(flag, flag.removeprefix("config.")), text)
  return config


def launcher(left):
  """Return a `run_locally` without processes: `left` jobs end, then it is killed."""

  def run_locally(jobs, at_once, listener):
    for job in jobs:
      if not left[0]:
        return 15
      left[0] -= 1
      job.log.parent.mkdir(parents=True, exist_ok=True)
      job.set_stale_aside()
      listener.started(job)
      workdir, *words = job.command[3:]
      status = train.run(config_of(words), workdir.removeprefix("--workdir="))
      launch.record_outcome(job, status)
      listener.ended(job)
    return None

  return run_locally


def without_training(monkeypatch):
  """Let runs be written, not trained; check no leaks and draw nothing: it takes seconds."""
  without_figures(monkeypatch)
  monkeypatch.setattr(train, "run", write_run)
  monkeypatch.setattr(maps, "of_run", lambda *words: None)


def without_figures(monkeypatch):
  """Write an empty page, and find no leak."""
  monkeypatch.setattr(preflight, "_check_leaks", lambda *words: ("passed", True))
  monkeypatch.setattr(page, "report", lambda comparison: "")


def write_run(config, workdir):
  """Write what a finished run leaves; of learning rates, 0.03 has the least loss."""
  own = preflight.seed_configs(config)
  dataset, code = experiment.assemble(config).dataset, preflight.code_of(config)
  loss = abs(config.train.learning_rate - 0.03)
  summary = {"steps": config.steps, "dataset": config.dataset, "primary": "accuracy"}
  summary |= {
    "leak_check": "passed",
    "validation": {"loss": loss, "accuracy": 1 - loss},
  }
  for each, cell in zip(
    own, seed_folders(Path(workdir), [one.seed for one in own]), strict=True
  ):
    cell.mkdir(parents=True)
    words = each.to_dict(), dataset.fingerprint, jax.devices()
    run_folder.record(cell, *words, code=code)
    (cell / run_folder.SUMMARY).write_text(json.dumps(summary))
  return 0
