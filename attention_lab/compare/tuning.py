"""The tuning runs of a comparison: each row with each combination of values."""

from collections.abc import Mapping, Sequence

from attention_lab import config as configs
from attention_lab.compare import cells
from attention_lab.compare.analysis.choice import best
from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.analysis.record import Tuned
from attention_lab.compare.analysis.wording import setting_text
from attention_lab.compare.plan import Plan, Planned
from attention_lab.compare.tuned_values import Combination, read, with_values
from attention_lab.config import Config
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.training.preflight import code_of, with_seed

FOLDER = "tuning"  # Of the tuning runs, in that of the comparison.
FIRST_SEED = 1_000_000_000  # Of the tuning runs: far from the seeds that are reported.
HELD_OUT = 0.1  # Share of the training examples that the choice is made on.


def plan(planned: Plan, config: Config) -> Plan | None:
  """Plan the tuning runs of all rows; None if nothing is tuned.

  Their seeds are not those of the reported runs, and they are validated on a part of the
  training examples, so the choice knows nothing of what the report is made of.

  Args:
    planned: the comparison.
    config: its configuration, with --tune.

  Raises:
    UserError: a value does not go with a row, or a reported seed is one of tuning.
  """
  combinations = read(config)
  if not combinations:
    return None
  seeds = range(FIRST_SEED, FIRST_SEED + config.compare.tune_seeds)
  if set(seeds) & set(planned.reported_seeds):
    raise UserError(f"--seed={config.seed}: seeds from {FIRST_SEED} on are for tuning.")
  rows = [_trial(row, each) for row in planned.rows for each in combinations]
  return planned._replace(
    workdir=planned.workdir / FOLDER, rows=rows, seeds=seeds, others=(), other_seeds=()
  )


def _trial(row: Planned, combination: Combination) -> Planned:
  """Return a row with the values of a combination, to be validated on held-out data."""
  name = trial_name(row.name, combination)
  trial = with_seed(with_values(row.config, combination), FIRST_SEED)
  trial.train.held_out = HELD_OUT
  trial.evaluation.extra_lengths, trial.evaluation.scores = (), False
  trial.evaluation.every = trial.steps
  trial.checkpoint.keep, trial.log.tensorboard = 1, False
  try:
    configs.validate(trial)
    fingerprint = assemble(trial).dataset.fingerprint
  except UserError as error:
    raise UserError(f"--tune, row {name!r}: {error}") from None
  origin = cells.Origin(code_of(trial), fingerprint)
  return row._replace(name=name, config=trial, origin=origin)


def trial_name(row: str, combination: Combination) -> str:
  """Return the name of a row with a combination: "linear, learning rate 0.003"."""
  return ", ".join([row, *(setting_text(key, v) for key, v in combination.items())])


def results(planned: Plan, trials: Plan, config: Config) -> dict[str, Tuned]:
  """Return what the tuning runs that have finished say of each row."""
  combinations, found = read(config), {}
  for row, runs in _by_row(planned, trials).items():
    metric = METRICS[assemble(runs[0].config).dataset.primary]
    scores = {
      key: [[_score(trials, run, seed, key) for seed in trials.seeds] for run in runs]
      for key, each in METRICS.items()
      if each.tested
    }
    chosen = best(scores[metric.key], metric.better == "lower")
    found[row] = Tuned(metric.key, combinations, scores, chosen)
  return found


def left(planned: Plan, trials: Plan) -> dict[str, int]:
  """Return the number of unfinished tuning runs of each row."""
  return {
    row: sum(map(trials.left, runs)) for row, runs in _by_row(planned, trials).items()
  }


def with_choices(planned: Plan, found: Mapping[str, Tuned]) -> Plan:
  """Return a comparison whose rows have the settings that tuning chose."""
  return planned._replace(rows=[_tuned(row, found[row.name]) for row in planned.rows])


def _tuned(row: Planned, found: Tuned) -> Planned:
  chosen = found.settings[found.chosen]
  config = with_values(row.config, chosen)
  assert row.origin is not None  # Of a row of this command.
  origin = row.origin._replace(code=code_of(config), tuned=dict(chosen))
  return row._replace(config=config, origin=origin)


def _by_row(planned: Plan, trials: Plan) -> dict[str, Sequence[Planned]]:
  """Return the tuning runs of each row, one for each combination of values."""
  each = len(trials.rows) // len(planned.rows)
  return {
    row.name: trials.rows[i * each : (i + 1) * each]
    for i, row in enumerate(planned.rows)
  }


def _score(trials: Plan, run: Planned, seed: int, metric: str) -> float:
  """Return a metric of a tuning run; NaN if it has not finished."""
  if not trials.finished(run, seed):
    return float("nan")
  summary = cells.summary(trials.cell(run, seed))
  return float((summary.get("validation") or {}).get(metric, "nan"))
