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

import jmp
from rich.console import Console

from attention_lab import config as configs
from attention_lab.benchmark.timing import matmul_peak
from attention_lab.compare import costs, launch, plan
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.sentences import sentence
from attention_lab.compare.analysis.table import lines
from attention_lab.compare.analysis.wording import counted
from attention_lab.compare.collect import collect
from attention_lab.compare.plan import Plan, Planned
from attention_lab.compare.progress import Progress, duration
from attention_lab.compare.report import latex, markdown, page, results
from attention_lab.config import Config
from attention_lab.run import folder as run_folder
from attention_lab.system.files import make_folder, write_atomically
from attention_lab.training.preflight import training_flops

UTILISATION = 0.3  # Typical speed of a small run, relative to a large matrix product.


def run(config: Config, workdir: str | None) -> int:
  """Run a comparison and return the exit status.

  It is 1 if any run failed, and 128 + the signal's number after a signal.
  """
  launch.disable_preallocation()
  folder = Path(workdir) if workdir else _folder(config)
  console = Console(highlight=False, soft_wrap=True, emoji=False)
  planned = plan.make(config, folder)
  if config.compare.dry_run:
    return _print_plan(planned, config, console)
  make_folder(folder, "workdir")
  reports = Reports(planned, config)
  with Progress(planned, console) as progress:
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
    found = costs.stored(self.plan, self.lengths) or []
    comparison = collect(self.plan, self.command, found, final)
    self._write("results.jsonl", results.jsonl(comparison))
    self._write("results.csv", results.table(comparison))
    self._write("results.tex", latex.latex(comparison))
    self._write("report.md", markdown.report(comparison))
    if final:
      self._write("report.html", page.report(comparison))
    return comparison

  def _write(self, name: str, text: str) -> None:
    content = text.encode()
    write_atomically(self.plan.workdir, lambda f: f.write(content), lambda _: name)


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
  return launch.run_locally(jobs, config.compare.jobs or launch.devices(), listener)


def _finish(reports: Reports, console: Console) -> int:
  """Measure the costs, write the final reports, and print the results."""
  planned, lengths = reports.plan, reports.lengths
  if lengths and reports.local and costs.stored(planned, lengths) is None:
    for left_out in costs.measure(planned, lengths):
      console.print(left_out, markup=False)
  comparison = reports.write(final=True)
  rows = lines(comparison)
  for line in rows:
    console.print(f"{line.name}: {sentence(line, comparison.seeds)}.", markup=False)
  console.print(
    f"Written to {planned.workdir}: report.html, report.md, results.jsonl, "
    "results.csv, results.tex, cells/"
  )
  failed = [(line.name, failure) for line in rows for failure in line.failed]
  for name, failure in failed:
    print(f"error: {name}, seed {failure.seed}: {failure.error}", file=sys.stderr)
  return 1 if failed else 0


def _print_plan(planned: Plan, config: Config, console: Console) -> int:
  """Print the runs of a comparison and estimates of their time; return 0."""
  first = planned.rows[0].config
  peak = matmul_peak(jmp.get_policy(first.train.precision).compute_dtype)
  seeds = counted(len(planned.seeds), "seed")
  total = 0.0
  for row in planned.rows:
    left = sum(not planned.finished(row, seed) for seed in planned.seeds)
    flops = training_flops(row.config)
    seconds = _seconds(planned, row) or flops * planned.steps / (peak * UTILISATION)
    total += seconds * left
    matched = f" (matched to the baseline: {row.matched})" if row.matched else ""
    console.print(
      f"{row.name}: {row.parameters:,} parameters, {flops:.3g} FLOPs per step, about "
      f"{duration(seconds)} per run, {left} of {seeds} to run{matched}",
      markup=False,
    )
  at_once = config.compare.jobs or launch.devices()
  rows = counted(len(planned.rows), "row")
  runs = counted(len(planned.rows) * len(planned.seeds), "run")
  console.print(
    f"{rows} × {seeds} = {runs} of {counted(planned.steps, 'step')}. The remaining runs "
    f"take about {duration(total / at_once)} on this machine, estimated from finished "
    f"runs or from {UTILISATION * 100:.0f} % of the speed of a large matrix product "
    f"({peak / 1e9:,.0f} GFLOP/s). Nothing was trained. The comparison's folder is "
    f"--workdir={planned.workdir}",
    markup=False,
  )
  return 0


def _seconds(planned: Plan, row: Planned) -> float | None:
  """Return the mean duration of a row's finished runs; None if there are none."""
  runs = collect(planned._replace(rows=[row]), "").rows[0].runs
  seconds = [run.summary["seconds"] for run in runs if run.status == "finished"]
  return sum(seconds) / len(seconds) if seconds else None


def _folder(config: Config) -> Path:
  """Return a folder that depends on the comparison alone, so that it can be resumed."""
  settings = dict(configs.differences({}, config)) | {"grid": config.compare.grid}
  settings["match"] = config.compare.match
  digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
  return run_folder.RUNS / f"compare-{config.dataset.partition('(')[0]}-{digest[:8]}"
