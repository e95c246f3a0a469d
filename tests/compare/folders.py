"""Folders of made-up runs and comparisons, as training leaves them."""

import json

from attention_lab import config as configs
from attention_lab.compare import cells, plan_file
from attention_lab.compare import tuning_file as tuning
from attention_lab.compare.analysis.record import Tuned
from tests.compare.report.made_up import summary

STEPS = 100
CODE = {"attention_lab/update.py": "5", "version of jax": "0.9"}
PROVENANCE = {
  "dataset_sha256": "d" * 64,
  "started": "2026-11-26T10:00:00+0000",
  "devices": ["cpu"],
  "platform": "cpu",
  "processor": "Abacus 9000",
  "versions": {"jax": "0.9"},
  "git_commit": "a" * 40,
}


def config(seed=0, **settings):
  """Return a configuration; `learning_rate` and `d_ff` are set in their sections."""
  made = configs.get_config()
  sections = {"learning_rate": "train.learning_rate", "d_ff": "model.d_ff"}
  values = {
    "dataset": "copy(sequence_length=8)",
    "steps": STEPS,
    "seed": seed,
  } | settings
  for key, value in values.items():
    configs.set_value(made, sections.get(key, key), value)
  return made


def run(folder, loss=None, seed=0, code=CODE, provenance=None, steps=None, **settings):
  """Write a run; without a loss, one that has not finished."""
  made = config(seed, **settings)
  folder.mkdir(parents=True)
  content = {
    "config": made.to_dict(),
    "provenance": PROVENANCE | (provenance or {}),
    "code": [code],
  }
  (folder / "config.json").write_text(json.dumps(content))
  curve = {"step": made.steps, "split": "validation", "loss": loss or 2.0}
  (folder / "metrics.jsonl").write_text(json.dumps(curve) + "\n")
  if loss is not None:
    done = {"steps": steps or made.steps, "dataset": made.dataset}
    (folder / "summary.json").write_text(json.dumps(summary(loss) | done))
  return folder


def comparison(folder, rows, seeds, stored_costs=None, looks=None, tuned=None, **more):
  """Write a comparison.

  Args:
    folder: its folder.
    rows: name → settings; with a key "losses", seed → loss, None for an unfinished run.
    seeds: its seeds.
    stored_costs: row → step_seconds.
    looks: numbers of seeds at which it was reported; by default that of all seeds.
    tuned: row → its learning rate, chosen by tuning.
    **more: fields of compare.json.
  """
  folder.mkdir()
  stored = []
  for name, settings in rows.items():
    own = dict(settings)
    losses = own.pop("losses", {s: loss(name, s) for s in seeds})
    code = own.pop("code", CODE)
    provenance = own.pop("provenance", None)
    matched, made_from = own.pop("matched", ""), own.pop("made_from", "")
    for seed, value in losses.items():
      place = cells.folder(folder, name, seed)
      run(place, value, seed, code=code, provenance=provenance, **own)
    row = plan_file.StoredRow(name, config(**own), 1234, matched, made_from)
    stored.append(row)
  looked = [len(seeds)] if looks is None else looks
  made = plan_file.Stored(stored, list(seeds), STEPS, looked, **more)
  plan_file.write(folder, made, f"python -m attention_lab.main --workdir={folder}")
  for name, rate in (tuned or {}).items():
    settings = [{"train.learning_rate": each} for each in (rate / 2, rate)]
    found = Tuned("loss", settings, {"loss": [[2.0, 2.1], [1.5, 1.6]]}, 1)
    tuning.write(folder, {name: found})
  if stored_costs:
    costs = {name: {"step_seconds": value} for name, value in stored_costs.items()}
    content = {"records": [], "rows": costs}
    (folder / plan_file.COSTS).write_text(json.dumps(content))
  return folder


def loss(name, seed):
  """Return a loss that depends on row and seed alone."""
  return 1.5 + 0.01 * (sum(map(ord, name)) % 17) + 0.003 * (7 * seed * len(name) % 11)
