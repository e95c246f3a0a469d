"""The plan of a comparison: its rows and seeds, validated before anything is trained."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from attention_lab import config as configs
from attention_lab.compare import cells, grid, match
from attention_lab.compare.analysis.wording import setting_text
from attention_lab.config import Config
from attention_lab.dataset.base.pairs import sentences_of
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.run import folder as run_folder
from attention_lab.run.disk_space import bytes_to_come, refuse_full
from attention_lab.training import preflight

POINTS = 5  # Fewest points of a curve of validation losses.


class Planned(NamedTuple):
  """A row of a comparison, before its runs."""

  name: str
  config: Config  # Has the first seed.
  parameters: int
  matched: str = ""  # How its cost was matched to the baseline's; "" if it was not.
  origin: str = ""  # Name of the row that a matched row was made of; "" for others.


class Plan(NamedTuple):
  """All cells of a comparison: each row with each seed."""

  workdir: Path
  rows: Sequence[Planned]  # The baseline first.
  seeds: Sequence[int]
  steps: int
  about: str  # The setting that the comparison is about: rows are judged by it alone.
  margin: str  # Setting compare.margin.

  def cell(self, row: Planned, seed: int) -> Path:
    """Return the folder of the run of a row with a seed."""
    return cells.folder(self.workdir, row.name, seed)

  def settings(self, row: Planned) -> dict[str, Any]:
    """Return the settings in which a row differs from the baseline, with its values."""
    changed = configs.differences(self.rows[0].config, row.config)
    return {key: new for key, (_, new) in changed.items()}

  def finished(self, row: Planned, seed: int) -> bool:
    """Return whether a cell's run has finished."""
    return cells.finished(self.cell(row, seed), self.steps)


def make(config: Config, workdir: Path) -> Plan:
  """Plan every row of the grid, and a matched row for each row of different cost.

  Raises:
    UserError: the grid has a single row, or a cell's configuration is invalid.
  """
  combinations = grid.rows(config)
  if len(combinations) < 2:
    raise UserError(
      "There is nothing to compare. List several values, the baseline first: "
      "--attention=standard,selective, or a list for any other setting."
    )
  if os.path.exists(workdir / run_folder.CONFIG):
    raise UserError(
      f"{workdir} contains a single run, not a comparison. Choose another --workdir."
    )
  for _, row in combinations:
    _prepare(row)
    _check_if_it_passes(row)
  rows = [Planned(name, row, preflight.parameters(row)) for name, row in combinations]
  if config.compare.match != "none":
    rows += _matched(rows, config.compare.match)
  seeds = range(config.seed, config.seed + config.seeds)
  plan = Plan(workdir, rows, seeds, config.steps, grid.about(config), _margin(config))
  needed = sum(_check(plan, row) for row in rows)
  refuse_full(workdir, needed, config.checkpoint.keep)
  return plan


def _margin(config: Config) -> str:
  """Return the setting compare.margin.

  Raises:
    UserError: it is neither a number above 0 nor a share.
  """
  text = str(config.compare.margin).replace(" ", "")
  try:
    size = float(text.removesuffix("%"))
  except ValueError:
    size = -1.0
  if not 0 < size < math.inf:
    raise UserError(
      f"--config.compare.margin={config.compare.margin}: give a difference in units of the "
      "metric that the dataset is judged by, such as 0.01, or a share of the standard "
      "deviation over seeds, such as 50%."
    )
  return text


def _prepare(config: Config) -> None:
  """Set what the cells of a row measure by default.

  On a translation dataset, the scoring of translations is switched on. The default
  interval of validation is shortened so that the curve has at least `POINTS` points.
  """
  configs.validate(config)
  dataset = assemble(config).dataset
  config.evaluation.scores = sentences_of(dataset, "validation") is not None
  if config.evaluation.every == configs.get_config().evaluation.every:
    often = max(1, config.steps // POINTS)
    config.evaluation.every = min(config.evaluation.every, often)


def _check_if_it_passes(config: Config) -> None:
  """Switch the skipped leak check of a row on again, unless it would refuse the row.

  With --skip_checks, a row that attends to the future is trained and gets no loss; the
  losses of the other rows are still known to be honest.
  """
  if not config.skip_checks:
    return
  config.skip_checks = False
  try:
    preflight.check(config, jax.local_devices()[:1])
  except UserError:  # What else it refuses is refused again, without the leak check.
    config.skip_checks = True


def _check(plan: Plan, row: Planned) -> int:
  """Refuse what training would refuse; return the bytes of checkpoints to come."""
  checked = preflight.check(row.config, jax.local_devices()[:1])
  dataset, unfinished = checked.experiment.dataset, []
  for seed in plan.seeds:
    cell = plan.cell(row, seed)
    preflight.refuse_other_config(cell, preflight.with_seed(row.config, seed))
    if not plan.finished(row, seed):
      run_folder.refuse_other_data(cell, dataset.fingerprint)
      unfinished.append(cell)
  keep = row.config.checkpoint.keep
  return bytes_to_come(unfinished, keep, checked.state, dataset.files())


def _matched(rows: Sequence[Planned], resource: str) -> list[Planned]:
  """Return a matched row for each row whose cost differs from the baseline's.

  The baseline is the first row with the same values of `match.SIZES`.
  """
  cost, unit = match.COSTS[resource]
  first: dict[tuple[Any, ...], tuple[str, int]] = {}
  planned = []
  for row in rows:
    settings = dict(configs.flatten(row.config))
    group = tuple(settings[key] for key in match.SIZES)
    row_cost = row.parameters if resource == "parameters" else cost(row.config)
    baseline, target = first.setdefault(group, (row.name, row_cost))
    if not match.differs(row_cost, target):
      continue
    matched = match.match(row.config, target, cost)
    if matched is None:
      continue
    changed: Mapping[str, tuple[Any, Any]] = configs.differences(
      row.config, matched.config
    )
    sizes = [setting_text(key, new) for key, (_, new) in changed.items()]
    planned.append(
      Planned(
        ", ".join([row.name, *sizes]),
        matched.config,
        preflight.parameters(matched.config),
        match.description(row.config, matched, target, unit, baseline),
        row.name,
      )
    )
  return planned
