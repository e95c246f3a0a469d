"""--mode=benchmark: times attentions by sequence length, and whole training steps.

All programs are timed interleaved in one process, after their outputs have been verified.
Results are written to benchmark.json, and to benchmark.png if matplotlib is installed.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jmp
import numpy as np
from rich.console import Console
from rich.table import Table

from attention_lab.benchmark.measure import at_length, benches
from attention_lab.benchmark.plot import figure_of_benchmark, save
from attention_lab.benchmark.scaling import crossover, exponent
from attention_lab.benchmark.timing import matmul_peak
from attention_lab.compare.costs import measured
from attention_lab.compare.row_costs import time_steps
from attention_lab.config import Config, words
from attention_lab.experiment import assemble
from attention_lab.plugin import spec as specs
from attention_lab.run import folder as run_folder
from attention_lab.system.files import make_folder, write_json
from attention_lab.system.versions import all_versions

KINDS = ("forward", "gradient", "decode")


# (title, records), called with the results of each length and of the training step.
OnRecords = Callable[[str, list[dict[str, Any]]], None]


def run(config: Config, workdir: str | None) -> int:
  """Measure, print tables and write the files."""
  names = specs.distinct(config.attention)
  refuse_untrainable(config, names)
  folder = run_folder.given_or_new(workdir, words(config))
  console = Console(highlight=False, soft_wrap=True)
  dtype = jmp.get_policy(config.train.precision).compute_dtype
  peak = matmul_peak(dtype)
  console.print(
    f"{jax.devices()[0].device_kind}, {config.train.precision}; a large matrix product "
    f"runs at {peak / 1e9:,.0f} GFLOP/s"
  )
  result = measure(
    config, names, peak, lambda title, found: console.print(_table(title, found))
  )
  for line in sentences(result["trends"]):
    console.print(line)
  plotted = write(folder, result)
  console.print(
    f"Written to {folder}: benchmark.json"
    + (", benchmark.png" if plotted else " (benchmark.png: pip install matplotlib)")
  )
  return 0


def refuse_untrainable(config: Config, names: Sequence[str]) -> None:
  """Raise `UserError` at attentions whose training step is to be timed, and cannot be."""
  if config.benchmark.step:
    for name in names:
      assemble(_with(config, name))


def measure(
  config: Config,
  names: Sequence[str],
  peak: float,
  on_records: OnRecords = lambda title, found: None,
) -> dict[str, Any]:
  """Return what benchmark.json holds.

  Args:
    config: the configuration.
    names: the attentions; the first is that of the ratios.
    peak: FLOP/s of a large matrix product.
    on_records: called with the results of each length and of the training step.
  """
  dtype = jmp.get_policy(config.train.precision).compute_dtype
  records: list[dict[str, Any]] = []
  of = {name: measured(config, name) for name in names}
  for length in config.benchmark.sequence_lengths:
    found = at_length(benches(of, length, dtype), peak, config.benchmark.rounds)
    on_records(f"length {length}", found)
    records += found
  if config.benchmark.step:
    found = _steps(config, names)
    on_records("training step", found)
    records += found
  return {
    "records": records,
    "trends": _trends(names, records),
    "matmul_flops_per_second": peak,
    "device": jax.devices()[0].device_kind,
    "versions": all_versions(),
    "config": config.to_dict(),
  }


def write(folder: Path, result: Mapping[str, Any]) -> bool:
  """Write benchmark.json, and benchmark.png with matplotlib; return whether it is there."""
  make_folder(folder, "workdir")
  write_json(folder / "benchmark.json", result)
  if importlib.util.find_spec("matplotlib") is None:
    return False
  names = list(dict.fromkeys(record["attention"] for record in result["records"]))
  save(figure_of_benchmark(names, result["records"]), folder / "benchmark.png")
  return True


def _steps(config: Config, names: Sequence[str]) -> list[dict[str, Any]]:
  """Time the training step with each attention in all layers, interleaved."""
  configs = {name: _with(config, name) for name in names}
  experiments = {name: assemble(own) for name, own in configs.items()}
  steps = time_steps(configs, experiments, config.benchmark.rounds)
  first = steps[names[0]]["rounds_seconds"]
  return [
    {
      "attention": name,
      "length": experiments[name].dataset.sequence_length,
      "kind": "step",
      "seconds": step["step_seconds"],
      "seconds_quartiles": step["step_quartiles"],
      "tokens_per_second": step["tokens_per_second"],
      "ratio_to_first": float(np.median(np.divide(step["rounds_seconds"], first))),
    }
    for name, step in steps.items()
  ]


def _with(config: Config, attention: str) -> Config:
  """Return the configuration with one attention in all layers."""
  own = config.copy_and_resolve_references()
  own.attention = attention
  return own


def _table(title: str, records: list[dict[str, Any]]) -> Table:
  table = Table(title=title, title_justify="left", title_style="bold", box=None)
  for heading in ("attention", "what", "ms", "quartiles", "MiB", "tokens/s", "of peak"):
    table.add_column(
      heading, justify="left" if heading in ("attention", "what") else "right"
    )
  for record in records:
    memory = record.get("memory_bytes")
    cells = [record["attention"], record["kind"]]
    if record["seconds"] is None:
      cells += ["–", "does not fit"]
    else:
      low, high = record["seconds_quartiles"]
      cells += [f"{1e3 * record['seconds']:.3g}", f"{1e3 * low:.3g}–{1e3 * high:.3g}"]
    cells += ["" if memory is None else f"{memory / 2**20:,.2f}"]
    if record["seconds"] is not None:
      cells += [f"{record['tokens_per_second']:,.0f}"]
      cells += [f"{record['utilisation']:.0%}"] if "utilisation" in record else []
    table.add_row(*cells)
  return table


def _trends(
  names: Sequence[str], records: list[dict[str, Any]]
) -> list[dict[str, Any]]:
  """Return exponents of time and memory in the length, and crossovers with the first."""
  trends = []
  for kind in KINDS:
    curves = {}
    for name in names:
      points = [
        r
        for r in records
        if (r["attention"], r["kind"]) == (name, kind) and r["seconds"] is not None
      ]
      curves[name] = {r["length"]: r["seconds"] for r in points}
      if len(points) < 2:
        continue
      memory = {r["length"]: r["memory_bytes"] for r in points}
      trends.append(
        {
          "attention": name,
          "kind": kind,
          "time_exponent": exponent(curves[name]),
          "memory_exponent": exponent(memory),
          "faster_than_first_from": crossover(curves[names[0]], curves[name]),
        }
      )
  return trends


def sentences(trends: Sequence[Mapping[str, Any]]) -> list[str]:
  """Return what trends say, one line each."""
  first = trends[0]["attention"] if trends else ""
  lines = []
  for trend in trends:
    line = (
      f"{trend['attention']}, {trend['kind']}: time grows as T^"
      f"{trend['time_exponent']:.2f}, memory as T^{trend['memory_exponent']:.2f}"
    )
    if trend["attention"] != first:
      length = trend["faster_than_first_from"]
      line += (
        f"; faster than {first} from T = {length:,.0f} on"
        if length is not None
        else f"; not faster than {first} at any of these lengths"
      )
    lines.append(line)
  return lines
