"""The plan of a comparison: its rows and seeds, validated before anything is trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from attention_lab import config as configs
from attention_lab.compare import cells, grid, match, plan_file, tuned_values
from attention_lab.compare.analysis.wording import setting_text
from attention_lab.compare.margin import margin_of
from attention_lab.config import Config
from attention_lab.dataset.base.pairs import sentences_of
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.run.disk_space import bytes_to_come, refuse_full
from attention_lab.system.regular import refuse_links_between
from attention_lab.training import changes, preflight

MOST_RUNS = 10_000  # Of rows and seeds together.
POINTS = 5  # Fewest points of a curve of validation losses.


class Planned(NamedTuple):
  """A row of a comparison, before its runs."""

  name: str
  config: Config  # Has the first seed.
  parameters: int
  matched: str = ""  # How its cost was matched to the baseline's; "" if it was not.
  made_from: str = ""  # Name of the row that a matched row was made of; "" for others.
  origin: cells.Origin | None = None  # None if its code and data are not known.
  against: tuple[str, ...] = ()  # Rows that it names to be compared with.
  trained: bool = True  # False for a row of an earlier command, which is only reported.


class Plan(NamedTuple):
  """All cells of a comparison: each row with each seed."""

  workdir: Path
  rows: Sequence[Planned]  # The baseline first.
  seeds: Sequence[int]
  steps: int
  # The setting that the comparison is about: rows are judged by it alone.
  about: str = "attention"
  margin: str = "50%"  # Setting compare.margin.
  keep: bool = False  # Whether results of other code or data are kept.
  others: Sequence[Planned] = ()  # Rows of earlier commands.
  other_seeds: Sequence[int] = ()  # Seeds of earlier commands.
  looks: Sequence[int] = ()  # Numbers of seeds at which all results were reported.
  tuned: Sequence[str] = ()  # Settings that tuning chooses for each row.

  def cell(self, row: Planned, seed: int) -> Path:
    """Return the folder of the run of a row with a seed."""
    return cells.folder(self.workdir, row.name, seed)

  def settings(self, row: Planned) -> dict[str, Any]:
    """Return the settings in which a row differs from the baseline, with its values.

    Those that tuning chooses are left out: no row is meant to differ in them.
    """
    changed = configs.differences(self.rows[0].config, row.config)
    return {key: new for key, (_, new) in changed.items() if key not in self.tuned}

  def chosen(self, row: Planned) -> dict[str, Any]:
    """Return the settings that tuning chooses, with a row's values."""
    values = dict(configs.flatten(row.config))
    return {key: values[key] for key in self.tuned}

  def finished(self, row: Planned, seed: int) -> bool:
    """Return whether a cell's run has finished, with the row's code and data."""
    any_origin = self.keep or not row.trained
    origin = None if any_origin else row.origin
    return cells.finished(self.cell(row, seed), self.steps, origin)

  def left(self, row: Planned) -> int:
    """Return the number of a row's cells whose runs have not finished."""
    return sum(not self.finished(row, seed) for seed in self.seeds)

  def changed(self, row: Planned, seed: int) -> list[str]:
    """Return what has changed since a cell's run began; see `cells.changed`."""
    return cells.changed(self.cell(row, seed), row.origin) if row.origin else []

  def refuse_links(self, root: Path) -> None:
    """Raise `UserError` if a cell's folder below `root` leads through a symbolic link."""
    for row in self.rows:
      for seed in self.seeds:
        refuse_links_between(root, self.cell(row, seed))

  @property
  def reported(self) -> list[Planned]:
    """All rows of the report."""
    return [*self.rows, *self.others]

  def looked(self) -> "Plan":
    """Return the plan with a look at its present number of seeds."""
    number = len(self.reported_seeds)
    looks = [look for look in self.looks if look < number]
    return self._replace(looks=(*looks, number))

  @property
  def reported_seeds(self) -> list[int]:
    """All seeds of the report."""
    return sorted({*self.seeds, *self.other_seeds})


def make(config: Config, workdir: Path) -> Plan:
  """Plan every requested row, and a matched row for each row of different cost.

  Raises:
    UserError: there is a single row, or a cell's configuration is invalid.
  """
  tuned = list(next(iter(tuned_values.read(config)), {}))
  combinations = grid.rows(config)
  if (runs := len(combinations) * config.seeds) > MOST_RUNS:
    raise UserError(
      f"{len(combinations)} rows × {config.seeds} seeds are {runs} runs; a comparison has "
      f"at most {MOST_RUNS}."
    )
  if len(combinations) < 2:
    raise UserError(
      "There is nothing to compare. List several values, the baseline first: "
      "--attention=standard,selective, or a list for any other setting."
    )
  for name, row, _ in combinations:
    _prepare(name, row)
    _check_if_it_passes(row)
  rows = [
    Planned(name, row, preflight.parameters(row), against=against)
    for name, row, against in combinations
  ]
  if config.compare.match != "none":
    rows += _matched(rows, config.compare.match)
  seeds = range(config.seed, config.seed + config.seeds)
  stored, tune = plan_file.read(workdir), config.compare.tune
  others = _others(rows, stored, config.steps, workdir, tune, tuned) if stored else []
  keep = config.compare.stale == "keep"
  subject, margin = grid.about(config), margin_of(config)
  plan = Plan(workdir, rows, seeds, config.steps, subject, margin, keep, others)
  plan = plan._replace(tuned=tuned)
  if stored:
    plan = plan._replace(other_seeds=stored.seeds, looks=stored.looks)
  checked = [_check(plan, row) for row in rows]
  refuse_full(workdir, sum(needed for _, needed in checked), config.checkpoint.keep)
  return plan._replace(rows=[row for row, _ in checked])


def to_store(plan: Plan, tune: str) -> plan_file.Stored:
  """Return what compare.json holds of a plan, with the rows of earlier commands.

  Args:
    plan: the plan.
    tune: the setting `compare.tune`.
  """
  rows = [
    plan_file.StoredRow(
      row.name, row.config, row.parameters, row.matched, row.made_from, row.against
    )
    for row in plan.reported
  ]
  return plan_file.Stored(
    *(rows, plan.reported_seeds, plan.steps, plan.looks),
    about=plan.about,
    margin=plan.margin,
    tune=tune,
  )


def _others(
  rows: Sequence[Planned],
  stored: plan_file.Stored,
  steps: int,
  workdir: Path,
  tune: str,
  tuned: Sequence[str],
) -> list[Planned]:
  """Return the rows of a folder's earlier commands that this command does not have.

  A matched row goes with the row that it was made from.

  Raises:
    UserError: the folder holds a comparison that these rows do not extend.
  """
  plan_file.refuse_other_tuning(workdir, stored, tune)
  by_name = {row.name: row.config for row in rows}
  plan_file.refuse_other(workdir, stored, by_name, tuned)
  names = [row.name for row in rows]
  others = [
    Planned(**row._asdict(), trained=False)
    for row in stored.rows
    if row.name not in names and row.made_from not in names
  ]
  if others and stored.steps != steps:
    raise UserError(
      f"{workdir} holds a comparison of {stored.steps} steps, and this command has "
      f"--steps={steps} without the row {others[0].name!r}. Type --steps={stored.steps} "
      f"to extend it, or name another --workdir."
    )
  return [row._replace(origin=_origin(row.config)) for row in others]


def _origin(config: Config) -> cells.Origin | None:
  """Return the code and data of a row of earlier commands; None if a plugin is missing."""
  try:
    fingerprint = assemble(config).dataset.fingerprint
    return cells.Origin(preflight.code_of(config), fingerprint)
  except UserError:
    return None


def _prepare(name: str, config: Config) -> None:
  """Set what the cells of a row measure by default.

  On a translation dataset, the scoring of translations is switched on. The default
  interval of validation is shortened so that the curve has at least `POINTS` points.

  Raises:
    UserError: the row has an invalid value, or its experiment cannot be assembled.
  """
  try:
    configs.validate(config)
    dataset = assemble(config).dataset
  except UserError as error:
    raise UserError(f"Row {name!r}: {error}") from None
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


def _check(plan: Plan, row: Planned) -> tuple[Planned, int]:
  """Refuse what training would refuse.

  Returns:
    The row with its code and data, and the bytes of the checkpoints to come.
  """
  checked = preflight.check(row.config, jax.local_devices()[:1])
  dataset, unfinished = checked.experiment.dataset, []
  row = row._replace(origin=cells.Origin(checked.code, dataset.fingerprint))
  for seed in plan.seeds:
    cell = plan.cell(row, seed)
    own = preflight.with_seed(row.config, seed)
    changes.refuse_other_config(cell, own, plan.tuned)
    if not plan.finished(row, seed):
      # A run that starts anew has no checkpoint, like a folder that does not exist.
      unfinished.append(cell / "anew" if plan.changed(row, seed) else cell)
  keep = row.config.checkpoint.keep
  return row, bytes_to_come(unfinished, keep, checked.state, dataset.files())


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
    if matched is None or _is_planned(matched.config, rows):
      continue
    changed: Mapping[str, tuple[Any, Any]] = configs.differences(
      row.config, matched.config
    )
    sizes = [setting_text(key, new) for key, (_, new) in changed.items()]
    name = ", ".join([row.name, *sizes])
    if name in [other.name for other in rows]:
      raise UserError(
        f"Matching adds a row {name!r}, and another row has this name; rename it, or type "
        f"--match=none."
      )
    planned.append(
      Planned(
        name,
        matched.config,
        preflight.parameters(matched.config),
        match.description(row.config, matched, target, unit, baseline),
        row.name,
      )
    )
  return planned


def _is_planned(config: Config, rows: Sequence[Planned]) -> bool:
  """Return whether a row has this configuration already."""
  return any(not configs.differences(row.config, config) for row in rows)
