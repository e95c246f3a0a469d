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
from pathlib import Path

from rich.console import Console

from attention_lab import config as configs
from attention_lab.compare import (
  costs,
  estimate,
  extras,
  launch,
  plan,
  plan_file,
  stale,
)
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.sentences import sentence
from attention_lab.compare.analysis.table import lines
from attention_lab.compare.analysis.wording import counted
from attention_lab.compare.clock import duration
from attention_lab.compare.collect import collect
from attention_lab.compare.plan import Plan, Planned
from attention_lab.compare.progress import Progress
from attention_lab.compare.report import files
from attention_lab.config import Config
from attention_lab.run import folder as run_folder
from attention_lab.system.files import make_folder
from attention_lab.training.preflight import training_flops


def run(config: Config, workdir: str | None) -> int:
  """Run a comparison and return the exit status.

  It is 1 if any run failed, and 128 + the signal's number after a signal.
  """
  extras.refuse_missing("compare")
  launch.disable_preallocation()
  folder = Path(workdir) if workdir else _folder(config)
  console = Console(highlight=False, soft_wrap=True, emoji=False)
  planned = plan.make(config, folder)
  for line in stale.lines(planned, config.compare.stale):
    console.print(line, markup=False)
  if config.compare.dry_run:
    return _print_plan(planned, config, console)
  make_folder(folder, "workdir")
  reports = Reports(planned, config)
  plan_file.write(folder, plan.to_store(planned), reports.command)
  cells = len(planned.rows) * len(planned.seeds)
  at_once = cells if config.compare.launcher == "slurm" else _at_once(config)
  with Progress(planned, console, at_once) as progress:
    signal = _launch(planned, config, ReportingProgress(progress, reports))
  if signal:
    reports.write(final=True)
    console.print(f"Interrupted. Resume with: {reports.command}", markup=False)
    return 128 + signal
  return _finish(reports, console)


class Reports:
  """The report files of a comparison."""

  def __init__(self, planned: Plan, config: Config):
    self.plan = planned
    self.lengths = config.compare.cost_lengths
    self.local = config.compare.launcher == "local"
    self.command = shlex.join(["python", "-m", "attention_lab.main", *sys.argv[1:]])
    if not any(word.startswith("--workdir") for word in sys.argv[1:]):
      self.command += f" --workdir={shlex.quote(str(planned.workdir))}"

  def write(self, final: bool = False) -> Comparison:
    """Write the reports from the current results, which are returned.

    Args:
      final: whether to write report.html with attention maps, too, which takes seconds.
    """
    found = costs.stored(self.plan, self.lengths) or costs.NO_COSTS
    comparison = collect(self.plan, self.command, found, final)
    files.write(self.plan.workdir, comparison, with_page=final)
    return comparison


class ReportingProgress:
  """A listener that displays the progress, and writes the reports when a job ends."""

  def __init__(self, progress: Progress, reports: Reports):
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
  return launch.run_locally(jobs, _at_once(config), listener)


def _at_once(config: Config) -> int:
  """Return the number of jobs that run at a time on this machine."""
  return int(config.compare.jobs or launch.devices())


def _finish(reports: Reports, console: Console) -> int:
  """Measure the costs, write the final reports, and print the results."""
  planned, lengths = reports.plan, reports.lengths
  if lengths and reports.local and costs.stored(planned, lengths) is None:
    for left_out in costs.measure(planned, lengths):
      console.print(left_out, markup=False)
  comparison = reports.write(final=True)
  looked = plan.to_store(planned.looked())
  plan_file.write(planned.workdir, looked, reports.command)
  rows = lines(comparison)
  for line in rows:
    console.print(f"{line.name}: {sentence(line, comparison.seeds)}.", markup=False)
  console.print(f"Written to {planned.workdir}: {', '.join(files.NAMES)}, cells/")
  failed = [(line.name, failure) for line in rows for failure in line.failed]
  for name, failure in failed:
    print(f"error: {name}, seed {failure.seed}: {failure.error}", file=sys.stderr)
  return 1 if failed else 0


def _print_plan(planned: Plan, config: Config, console: Console) -> int:
  """Print the runs of a comparison and estimates of their time; return 0."""
  seeds, total = counted(len(planned.seeds), "seed"), 0.0
  left = {
    row.name: sum(not planned.finished(row, seed) for seed in planned.seeds)
    for row in planned.rows
  }
  start = estimate.imports() if any(left.values()) else 0.0
  for row in planned.rows:
    seconds, text = _time(planned, row, start) if left[row.name] else (0.0, "")
    total += seconds * left[row.name]
    matched = f" (matched to the baseline: {row.matched})" if row.matched else ""
    console.print(
      f"{row.name}: {row.parameters:,} parameters, {training_flops(row.config):.3g} "
      f"FLOPs per step{text}, {left[row.name]} of {seeds} to run{matched}",
      markup=False,
    )
  for row in planned.others:
    console.print(f"{row.name}: of an earlier command, stays in the report.")
  rows = counted(len(planned.rows), "row")
  runs = counted(len(planned.rows) * len(planned.seeds), "run")
  console.print(
    f"{rows} × {seeds} = {runs} of {counted(planned.steps, 'step')}. The remaining runs "
    f"take about {duration(total / _at_once(config))} on this machine, by finished runs or "
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
  settings = dict(configs.differences({}, config)) | {"grid": config.compare.grid}
  settings["match"] = config.compare.match
  digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
  return run_folder.RUNS / f"compare-{config.dataset.partition('(')[0]}-{digest[:8]}"
