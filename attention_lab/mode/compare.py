"""--mode=compare: trains every row with every seed, and tells them apart if it can.

Lists in flags make a grid; each cell of it is an ordinary run in a folder of its own, so
the same command goes on where it was interrupted. Written are results.jsonl and report.md
after every cell that ends, and report.html at the end or where it is interrupted.
"""

import hashlib
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import jmp
from ml_collections import config_dict
from rich.console import Console

from attention_lab import config as configs
from attention_lab.benchmark.timing import matmul_peak
from attention_lab.benchmark.utilisation import flops_per_step
from attention_lab.compare import costs, launch, plan
from attention_lab.compare.analysis import table
from attention_lab.compare.collect import collect
from attention_lab.compare.plan import Plan
from attention_lab.compare.report import markdown, page, results
from attention_lab.compare.watch import Watch, duration
from attention_lab.run import folder as run_folder
from attention_lab.system.files import make_folder, write_atomically

UTILISATION = 0.3  # Of the matrix product's speed that a small run reaches, about.


def run(config: config_dict.ConfigDict, workdir: str | None) -> int:
  """Compares; returns the exit status: 1 where a run failed, 128 + signal after one."""
  launch.leave_memory_to_runs()
  folder = Path(workdir) if workdir else _folder(config)
  console = Console(highlight=False, soft_wrap=True, emoji=False)
  planned = plan.make(config, folder)
  if config.compare.dry_run:
    return _tell(planned, config, console)
  make_folder(folder, "workdir")
  reports = Reports(planned, config)
  with Watch(planned, console) as watch:
    show = Reporting(watch, reports)
    signal = _launch(planned, config, show)
  if signal:
    reports.write(whole=True)
    console.print(f"Interrupted. Go on with: {reports.command}", markup=False)
    return 128 + signal
  return _finish(reports, console)


class Reports:
  """The files that a comparison writes."""

  def __init__(self, planned: Plan, config: config_dict.ConfigDict):
    self.plan = planned
    self.lengths = config.compare.lengths
    self.here = config.compare.launcher == "local"  # Where the runs run, too.
    self.command = shlex.join(["python", "-m", "attention_lab.main", *sys.argv[1:]])
    if not any(word.startswith("--workdir") for word in sys.argv[1:]):
      self.command += f" --workdir={shlex.quote(str(planned.workdir))}"

  def write(self, whole: bool = False) -> Sequence[table.Line]:
    """Writes them as the folders stand; returns the lines of the table.

    Args:
      whole: whether what takes seconds is made, too: attention maps and the page.
    """
    found = costs.stored(self.plan, self.lengths) or []
    comparison = collect(self.plan, self.command, found, whole)
    self._write("results.jsonl", results.jsonl(comparison))
    self._write("report.md", markdown.report(comparison))
    if whole:
      self._write("report.html", page.report(comparison))
    return table.lines(comparison)

  def _write(self, name: str, text: str) -> None:
    content = text.encode()
    write_atomically(self.plan.workdir, lambda f: f.write(content), lambda _: name)


class Reporting:
  """Shows what happens, and writes the reports anew when a cell has ended."""

  def __init__(self, watch: Watch, reports: Reports):
    self.started, self.tick = watch.started, watch.tick
    self._watch, self._reports = watch, reports

  def ended(self, job: launch.Job) -> None:
    """A process has ended."""
    self._watch.ended(job)
    self._reports.write()


def _launch(
  planned: Plan, config: config_dict.ConfigDict, show: launch.Show
) -> int | None:
  """Runs what is left to run; returns the signal that ended it."""
  todo = launch.jobs(planned, config)
  if config.compare.launcher == "slurm":
    from attention_lab.compare import cluster

    return cluster.run_there(todo, planned.workdir, config.compare.slurm, show)
  return launch.run_here(todo, config.compare.jobs or launch.devices(), show)


def _finish(reports: Reports, console: Console) -> int:
  """Measures what is measured once, and writes the reports for good."""
  planned, lengths = reports.plan, reports.lengths
  if lengths and reports.here and costs.stored(planned, lengths) is None:
    for left_out in costs.measure(planned, lengths):
      console.print(left_out, markup=False)
  lines = reports.write(whole=True)
  for line in lines:
    console.print(f"{line.name}: {line.sentence}.", markup=False)
  console.print(
    f"Written to {planned.workdir}: report.html, report.md, results.jsonl, cells/"
  )
  failed = [(line.name, failure) for line in lines for failure in line.failed]
  for name, failure in failed:
    print(f"error: {name}, seed {failure.seed}: {failure.error}", file=sys.stderr)
  return 1 if failed else 0


def _tell(planned: Plan, config: config_dict.ConfigDict, console: Console) -> int:
  """Prints what would be run, and about how long it would take."""
  first = planned.rows[0].config
  peak = matmul_peak(jmp.get_policy(first.train.precision).compute_dtype)
  total = 0.0
  for row in planned.rows:
    left = [seed for seed in planned.seeds if not planned.finished(row, seed)]
    flops = flops_per_step(row.config)
    seconds = _seconds(planned, row) or flops * planned.steps / (peak * UTILISATION)
    total += seconds * len(left)
    console.print(
      f"{row.name}: {row.parameters:,} parameters, {flops:.3g} FLOPs a step, about "
      f"{duration(seconds)} a run, {len(left)} of {len(planned.seeds)} seeds to run"
      + f" ({row.matched})"
      * bool(row.matched),
      markup=False,
    )
  at_once = config.compare.jobs or launch.devices()
  runs = len(planned.rows) * len(planned.seeds)
  console.print(
    f"{len(planned.rows)} rows × {len(planned.seeds)} seeds = {runs} runs of "
    f"{planned.steps:,} steps, about {duration(total / at_once)} here: from finished "
    f"runs, else at {UTILISATION:.0%} of the {peak / 1e9:,.0f} GFLOP/s of a large "
    f"matrix product. Nothing was trained; --workdir={planned.workdir}",
    markup=False,
  )
  return 0


def _seconds(planned: Plan, row: plan.Planned) -> float | None:
  """What a run of the row took; None where none has finished."""
  found = collect(planned._replace(rows=[row]), "").rows[0].runs
  taken = [run.summary["seconds"] for run in found if run.status == "finished"]
  return sum(taken) / len(taken) if taken else None


def _folder(config: config_dict.ConfigDict) -> Path:
  """The same for the same comparison, so that the same command goes on with it."""
  settings = dict(configs.differences({}, config)) | {"grid": config.compare.grid}
  settings["match"] = config.compare.match
  digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
  return run_folder.RUNS / f"compare-{config.dataset.partition('(')[0]}-{digest[:8]}"
