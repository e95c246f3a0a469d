"""results.jsonl and results.csv: each run of a comparison, for other programs."""

import csv
import io
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attention_lab.compare.analysis.differences import Difference
from attention_lab.compare.analysis.measures import (
  METRICS,
  cost_figures,
  figures,
  is_checked,
)
from attention_lab.compare.analysis.record import Comparison, Run
from attention_lab.compare.analysis.table import lines
from attention_lab.compare.report import tasks
from attention_lab.compare.report.facts import RATE, SIZES, setting, sizes

_FIRST = ("row", "seed", "status", "error", "leak_check", "matched", "baseline")
_HASHES = ("code_hash", "data_hash")

# Name in the files → field of a difference.
_DIFFERENCE = {
  "difference": "mean",
  "low": "low",
  "high": "high",
  "p": "p",
  "p_corrected": "p_holm",
  "verdict": "verdict",
  "seeds": "seeds",
}


def results(comparison: Comparison) -> Iterator[dict[str, Any]]:
  """Yield a dict for JSON for each run, by row and seed.

  Metrics have the units of summary.json: nats, fractions, seconds and bytes. A run
  without a passed leak check has no metrics that are computed from predictions. Costs
  and differences belong to the row, and are repeated for each of its seeds: those from
  the baseline, and "further" ones from other rows that it names.
  """
  for row, line in zip(comparison.rows, lines(comparison), strict=True):
    of_row = {
      "row": row.name,
      "settings": dict(sorted(row.settings.items())),
      "matched": row.matched,
      "note": row.note,
      "baseline": line.baseline,
      "dataset": setting(comparison, row, "dataset"),
      "steps": comparison.steps,
      "sizes": sizes(comparison, row),
      "learning_rate": setting(comparison, row, RATE),
      "tuned": dict(row.chosen),
    }
    costs = cost_figures(comparison.row_costs.get(row.name, {}))
    pairs = {
      other: {key: _difference(each) for key, each in found.items()}
      for other, found in line.comparisons.items()
    }
    last = {
      "costs": costs,
      "differences": pairs.pop(line.baseline, {}),
      "further": pairs,
    }
    for run in sorted(row.runs, key=lambda run: run.seed):
      yield of_row | _of_run(run) | last


def _of_run(run: Run) -> dict[str, Any]:
  finished = run.status == "finished"
  return {
    "seed": run.seed,
    "status": run.status,
    "error": run.error,
    "folder": str(run.folder),
    "code_hash": run.code,
    "data_hash": run.data,
    "leak_check": run.summary.get("leak_check"),
    "metrics": figures(run.summary) if finished else {},
    "lengths": run.summary.get("lengths") or {} if _is_shown(run) else {},
  }


def _is_shown(run: Run) -> bool:
  return run.status == "finished" and is_checked(run.summary)


def _difference(difference: Difference) -> dict[str, Any]:
  """Return a row's difference from its baseline, with the names of the files."""
  return {name: getattr(difference, field) for name, field in _DIFFERENCE.items()}


def jsonl(comparison: Comparison) -> str:
  """Return the content of results.jsonl, equal bytes for equal runs.

  After the runs, there is a line for each mechanism over several tasks.
  """
  found = itertools.chain(results(comparison), tasks.records(comparison))
  return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in found)


def table(comparison: Comparison) -> str:
  """Return the content of results.csv: one line per row and seed.

  What is not known is empty. Settings, metrics, costs, and the figures of differences
  have a column each; the latter are named after their metric: loss_p_corrected. Metrics at
  other lengths are named after the length: accuracy_at_64.
  """
  records = [_flat(result, comparison.baseline) for result in results(comparison)]
  file = io.StringIO()
  writer = csv.DictWriter(file, _columns(records), restval="", lineterminator="\n")
  writer.writeheader()
  writer.writerows(
    {name: _no_formula(value) for name, value in record.items()} for record in records
  )
  return file.getvalue()


def _no_formula(value: Any) -> Any:
  """Return a value that a spreadsheet shows and does not compute.

  Text that begins like a formula gets an apostrophe, as OWASP advises (CSV injection).
  """
  begins = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
  return f"'{value}" if begins else value


def _flat(result: dict[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
  """Return a result without nested dicts, with all settings in which rows differ."""
  settings = {
    f"settings.{key}": value
    for key, value in {**baseline, **result["settings"]}.items()
  }
  differences = {
    f"{metric}_{name}": value
    for metric, difference in result["differences"].items()
    for name, value in difference.items()
  }
  lengths = {
    f"{metric}_at_{length}": measured[metric]
    for length, measured in result["lengths"].items()
    for metric in METRICS.keys() & measured
  }
  names = (*_FIRST, "dataset", "steps", "learning_rate", *_HASHES)
  first = {name: result[name] for name in names}
  first["error"] = " ".join(first["error"].split())
  return (
    first
    | result["sizes"]
    | settings
    | result["metrics"]
    | result["costs"]
    | differences
    | lengths
  )


def _by_metric_and_length(name: str) -> tuple[str, int]:
  metric, _, length = name.partition("_at_")
  return metric, int(length)


def _columns(records: Sequence[dict[str, Any]]) -> list[str]:
  """Return every name in any record; what only some rows have keeps a fixed place."""
  names = {name for record in records for name in record}
  known = [*_FIRST, "dataset", "steps", *SIZES, "learning_rate", *_HASHES]
  known += sorted(name for name in names if name.startswith("settings."))
  known += METRICS
  known += [f"{metric}_{name}" for metric in METRICS for name in _DIFFERENCE]
  known += sorted((name for name in names if "_at_" in name), key=_by_metric_and_length)
  return [name for name in known if name in names]
