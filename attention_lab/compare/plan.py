"""What a comparison will run, made and looked over before anything trains."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import config_dict

from attention_lab import config as configs
from attention_lab.compare import cells, grid, match
from attention_lab.decode.translator import refuse_unscored
from attention_lab.distributed.devices import refuse_indivisible
from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.training.preflight import looked_over

POINTS = 5  # Of a curve of validation losses, at least.


class Planned(NamedTuple):
  """A row before it has run."""

  name: str
  config: config_dict.ConfigDict  # With the first seed.
  parameters: int
  matched: str = ""  # How it was made equal to the baseline; "" where it was not.


class Plan(NamedTuple):
  """All of a comparison's cells."""

  workdir: Path
  rows: Sequence[Planned]  # The baseline first.
  seeds: Sequence[int]
  steps: int

  def cell(self, row: Planned, seed: int) -> Path:
    """Where the run of a row with a seed lives."""
    return cells.folder(self.workdir, row.name, seed)

  def settings(self, row: Planned) -> dict[str, Any]:
    """In what a row differs from the baseline: setting → its value."""
    changed = configs.differences(self.rows[0].config, row.config)
    return {key: new for key, (_, new) in changed.items()}

  def finished(self, row: Planned, seed: int) -> bool:
    """Whether a cell has run to its end."""
    return cells.finished(self.cell(row, seed), self.steps)


def make(config: config_dict.ConfigDict, workdir: Path) -> Plan:
  """Plans every row of the grid, and those that are made equal to the baseline.

  Raises:
    UserError: there is nothing to compare, or something that a cell would refuse.
  """
  named = grid.rows(config)
  if len(named) < 2:
    raise UserError(
      "There is nothing to compare. Name several, the baseline first: "
      "--attention=standard,selective, or a list of any other setting."
    )
  if os.path.exists(workdir / run_folder.CONFIG):
    raise UserError(f"{workdir} holds a run, no comparison. Name another --workdir.")
  rows = [Planned(name, own, _made_ready(own)) for name, own in named]
  if config.compare.match != "none":
    rows += _matched(rows, config.compare.match)
  seeds = range(config.seed, config.seed + config.seeds)
  plan = Plan(workdir, rows, seeds, config.steps)
  for row in rows:
    for seed in seeds:
      _refuse_other(plan.cell(row, seed), with_seed(row.config, seed))
  return plan


def with_seed(config: config_dict.ConfigDict, seed: int) -> config_dict.ConfigDict:
  """The configuration of one cell of a row."""
  own = config.copy_and_resolve_references()
  own.seed = seed
  configs.validate(own)
  return own


def _made_ready(config: config_dict.ConfigDict) -> int:
  """The number of parameters; raises UserError at what training would refuse.

  Where there are sentences to translate, the run is told to score its translations; and
  where nothing else is said, to validate often enough for a curve.
  """
  configs.validate(config)
  refuse_indivisible(config.batch_size, config.train.micro_batches, 1)
  experiment = looked_over(config).experiment
  config.evaluation.scores = experiment.dataset.sentences("validation") is not None
  if config.evaluation.scores:
    refuse_unscored(experiment)
  if config.evaluation.every == configs.get_config().evaluation.every:
    often = max(1, config.steps // POINTS)
    config.evaluation.every = min(config.evaluation.every, often)
  return match.parameters(config)


def _matched(rows: Sequence[Planned], what: str) -> list[Planned]:
  """A row for each that costs more or less than the first of the same chosen sizes."""
  cost, unit = match.COSTS[what]
  first: dict[tuple[Any, ...], tuple[str, int]] = {}
  found = []
  for row in rows:
    settings = dict(configs.flatten(row.config))
    group = tuple(settings[key] for key in match.SIZES)
    own = row.parameters if what == "parameters" else cost(row.config)
    baseline, target = first.setdefault(group, (row.name, own))
    if not match.differs(own, target):
      continue
    matched = match.match(row.config, target, cost)
    if matched is None:
      continue
    changed: Mapping[str, tuple[Any, Any]] = configs.differences(
      row.config, matched.config
    )
    sizes = [f"{key.rpartition('.')[2]} {new}" for key, (_, new) in changed.items()]
    told = match.told(row.config, matched, target, unit, baseline)
    name = ", ".join([row.name, *sizes])
    found.append(Planned(name, matched.config, match.parameters(matched.config), told))
  return found


def _refuse_other(cell: Path, config: config_dict.ConfigDict) -> None:
  stored = run_folder.stored_config(cell)
  if stored is not None:
    run_folder.refuse_other_config(cell, stored, config)
