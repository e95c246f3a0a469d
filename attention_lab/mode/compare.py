"""--mode=compare: train several configurations with several seeds, and test differences.

Lists in flags form a grid, whose combinations are the rows of the comparison. Each row is
trained once per seed, as an ordinary run in its own folder, so the same command resumes an
interrupted comparison. results.jsonl, results.csv, results.tex and report.md are written
whenever a run ends, and report.html at the end or on interruption.
"""

import hashlib
import json
import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from attention_lab import config as configs
from attention_lab.compare import (
  budget,
  costs,
  estimate,
  extras,
  launch,
  named,
  plan,
  plan_file,
  stale,
  tuning,
  tuning_file,
)
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.sentences import sentence
from attention_lab.compare.analysis.table import lines
from attention_lab.compare.analysis.tuning import choice_text
from attention_lab.compare.analysis.wording import counted
from attention_lab.compare.collect import collect
from attention_lab.compare.plan import Plan, Planned
from attention_lab.compare.progress import Progress
from attention_lab.compare.report import files
from attention_lab.config import Config
from attention_lab.errors import print_error
from attention_lab.run import folder as run_folder
from attention_lab.system.files import make_folder
from attention_lab.training.forecast import duration
from attention_lab.training.preflight import training_flops


class Session(NamedTuple):
  """Functions that start the runs of a comparison and show its progress."""

  # (plan, configuration, listener) → the signal that interrupted the runs, or None.
  launch: Callable[[Plan, Config, launch.Listener], int | None]
  progress: Callable[[Plan], AbstractContextManager[launch.Listener]]
  say: Callable[[str], None]  # Shows a line.
  command: str  # Makes the same comparison again.
  files: bool = True  # Whether to write the reports.


def run(config: Config, workdir: str | None) -> int:
  """Run a comparison and return the exit status.

  It is 1 if any run failed, and 128 + the signal's number after a signal.
  """
  extras.refuse_missing("--mode=compare")
  launch.disable_preallocation()
  budget.settle_length(config)
  folder = Path(workdir) if workdir else _folder(config)
  console = Console(highlight=False, soft_wrap=True, emoji=False)
  session = Session(
    launch=_launch,
    progress=lambda planned: Progress(planned, console, _at_once(planned, config)),
    say=partial(console.print, markup=False),
    command=_command(folder),
  )
  planned, trials = make_plan(config, folder, session)
  if config.dry_run:
    return _print_plan(planned, trials, config, console)
  signal, reports = train(planned, trials, config, session)
  if signal:
    session.say(f"Interrupted. Resume with: {session.command}")
    return 128 + signal
  return _print_results(finish(reports), planned.workdir, console)


def make_plan(
  config: Config, folder: Path, session: Session
) -> tuple[Plan, Plan | None]:
  """Return a comparison and its tuning runs, and show what is stale."""
  planned = plan.make(config, folder)
  trials = tuning.plan(planned, config)
  for line in stale.lines(planned, config.compare.stale):
    session.say(line)
  return planned, trials


def train(
  planned: Plan, trials: Plan | None, config: Config, session: Session
) -> tuple[int | None, "Reports"]:
  """Train the unfinished runs; one failure does not stop the others.

  Args:
    planned: the comparison.
    trials: its tuning runs, if there are any.
    config: its configuration.
    session: how the runs are started.

  Returns:
    The signal that interrupted the runs, or None; and the reports.
  """
  make_folder(planned.workdir, "workdir")
  for each in filter(None, (planned, trials)):
    each.refuse_links(planned.workdir)
  reports = Reports(planned, config, session)
  if trials is not None:
    if plan_file.read(planned.workdir) is None:
      reports.store_plan()
    if signal := _tune(trials, config, session):
      return signal, reports
    reports.plan = planned = _choose(planned, trials, config, session)
  reports.store_plan()
  with session.progress(planned) as progress:
    listener = ReportingProgress(progress, reports)
    signal = session.launch(planned, config, listener)
  if signal:
    reports.write(final=True)
  return signal, reports


def _tune(trials: Plan, config: Config, session: Session) -> int | None:
  """Run the tuning runs; return the signal that interrupted them, if any."""
  for line in stale.lines(trials, config.compare.stale):
    session.say(line)
  if jobs := launch.jobs(trials, config):
    session.say(
      f"Tuning first: {counted(sum(len(job.cells) for job in jobs), 'run')}, validated on "
      f"{tuning.HELD_OUT:.0%} of the training examples, which they do not train on."
    )
  with session.progress(trials) as progress:
    return session.launch(trials, config, progress)


def _choose(planned: Plan, trials: Plan, config: Config, session: Session) -> Plan:
  """Return the comparison with the settings that tuning chose, which are shown."""
  found = tuning.results(planned, trials, config)
  tuning_file.write(planned.workdir, found)
  for name, tuned in found.items():
    session.say(f"Tuned {name}: {choice_text(tuned)}.")
  planned = tuning.with_choices(planned, found)
  for line in stale.lines(planned, config.compare.stale):
    session.say(line)
  return planned


def _command(folder: Path) -> str:
  """Return the command line, with the folder of the comparison."""
  command = run_folder.command()
  if not any(word.startswith("--workdir") for word in sys.argv[1:]):
    command += f" --workdir={shlex.quote(str(folder))}"
  return command


class Reports:
  """The report files of a comparison."""

  def __init__(self, planned: Plan, config: Config, session: Session):
    self.plan, self.session = planned, session
    self.lengths = config.compare.cost_lengths
    self.local = config.compare.launcher == "local"
    self.tune = config.compare.tune

  def store_plan(self, looked: bool = False) -> None:
    """Write compare.json.

    Args:
      looked: whether the results of all seeds have been reported.
    """
    planned = self.plan.looked() if looked else self.plan
    stored = plan.to_store(planned, self.tune)
    plan_file.write(planned.workdir, stored, self.session.command)

  def write(self, final: bool = False) -> Comparison:
    """Write the reports from the current results, which are returned.

    Args:
      final: whether to write report.html with attention maps, too, which takes seconds.
    """
    found = costs.stored(self.plan, self.lengths) or costs.NO_COSTS
    comparison = collect(self.plan, self.session.command, found, final)
    if self.session.files:
      files.write(self.plan.workdir, comparison, with_page=final)
    return comparison


class ReportingProgress:
  """A listener that displays the progress, and writes the reports when a job ends."""

  def __init__(self, progress: launch.Listener, reports: Reports):
    self.started, self.tick = progress.started, progress.tick
    self._progress, self._reports = progress, reports

  def ended(self, job: launch.Job) -> None:
    """Display the outcome of a job and write the reports."""
    self._progress.ended(job)
    self._reports.write()


def _launch(planned: Plan, config: Config, listener: launch.Listener) -> int | None:
  """Run the unfinished jobs; return the signal that interrupted them, if any."""
  jobs = launch.jobs(planned, config)
  if config.compare.launcher == "slurm":
    from attention_lab.compare import cluster

    return cluster.run_on_slurm(jobs, planned.workdir, config.compare.slurm, listener)
  return launch.run_locally(jobs, _at_once(planned, config), listener)


def _at_once(planned: Plan, config: Config) -> int:
  """Return the number of jobs that run at a time; under Slurm all may."""
  if config.compare.launcher == "slurm":
    return len(planned.rows) * len(planned.seeds)
  return int(config.compare.jobs or launch.devices())


def finish(reports: Reports) -> Comparison:
  """Measure the costs, and write the final reports; return the results."""
  planned, lengths = reports.plan, reports.lengths
  if lengths and reports.local and costs.stored(planned, lengths) is None:
    for left_out in costs.measure(planned, lengths):
      reports.session.say(left_out)
  comparison = reports.write(final=True)
  reports.store_plan(looked=True)
  return comparison


def _print_results(comparison: Comparison, folder: Path, console: Console) -> int:
  """Print the results and the failures; return the exit status."""
  rows = lines(comparison)
  for line in rows:
    console.print(f"{line.name}: {sentence(line, comparison.seeds)}.", markup=False)
  console.print(f"Written to {folder}: {', '.join(files.NAMES)}, cells/")
  failed = [(line.name, failure) for line in rows for failure in line.failed]
  for name, failure in failed:
    print_error(f"{name}, seed {failure.seed}: {failure.error}")
  return 1 if failed else 0


def _print_plan(
  planned: Plan, trials: Plan | None, config: Config, console: Console
) -> int:
  """Print the runs of a comparison and estimates of their time; return 0.

  Args:
    planned: the comparison.
    trials: its tuning runs, if there are any.
    config: its configuration.
    console: where to print.
  """
  seeds, total = counted(len(planned.seeds), "seed"), 0.0
  left = {row.name: planned.left(row) for row in planned.rows}
  to_tune = tuning.left(planned, trials) if trials is not None else {}
  start = estimate.imports() if any((left | to_tune).values()) else 0.0
  for row in planned.rows:
    trial_runs = to_tune.get(row.name, 0)
    runs = left[row.name] + trial_runs
    seconds, text = _time(planned, row, start) if runs else (0.0, "")
    total += seconds * runs
    matched = f" (matched to the baseline: {row.matched})" if row.matched else ""
    tune = f" after {counted(trial_runs, 'tuning run')}" * (row.name in to_tune)
    console.print(
      f"{row.name}: {row.parameters:,} parameters, {training_flops(row.config):.3g} "
      f"FLOPs per step{text}, {left[row.name]} of {seeds} to run{tune}{matched}",
      markup=False,
    )
  for row in planned.others:
    console.print(f"{row.name}: of an earlier command, stays in the report.")
  rows = counted(len(planned.rows), "row")
  all_runs = counted(len(planned.rows) * len(planned.seeds), "run")
  at_once = int(config.compare.jobs or launch.devices())
  console.print(
    f"{rows} × {seeds} = {all_runs} of {counted(planned.steps, 'step')}. The remaining "
    f"runs take about {duration(total / at_once)} on this machine, by finished runs or "
    f"by a measured start, compilation, step and evaluation of each row, without sampling "
    f"and checkpoints. Nothing was trained. The comparison's folder is "
    f"--workdir={planned.workdir}",
    markup=False,
  )
  return 0


def _time(planned: Plan, row: Planned, start: float) -> tuple[float, str]:
  """Return the seconds of a run of a row, and what they are made of."""
  if (seconds := estimate.recorded(planned, row)) is not None:
    seconds += start
    return seconds, f", about {duration(seconds)} per run as those that finished"
  found = estimate.measure(row, planned.steps, start)
  return found.total, (
    f", about {duration(found.total)} per run (start {found.start:.1f} s, compilation "
    f"{found.compiling:.1f} s, step {1e3 * found.step:.3g} ms, evaluation "
    f"{found.evaluation:.2g} s)"
  )


def _folder(config: Config) -> Path:
  """Return a folder that depends on the comparison alone, so that it can be resumed."""
  chosen = configs.differences({}, config).items()
  settings: dict[str, Any] = {
    key: x for key, x in chosen if not configs.is_as_before(key, x[1])
  }
  settings |= {"grid": config.compare.grid, "match": config.compare.match}
  # Runs do not depend on what their rows are compared with.
  if rows := named.read(config):
    settings["rows"] = [(row.name, dict(row.settings)) for row in rows]
  if config.compare.tune:
    settings["tune"] = config.compare.tune
  digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
  return run_folder.RUNS / f"compare-{config.dataset.partition('(')[0]}-{digest[:8]}"
