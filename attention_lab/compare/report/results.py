"""results.jsonl: one line of JSON per run of a comparison, for other programs."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from attention_lab.compare.analysis.measures import figures, is_checked
from attention_lab.compare.analysis.record import Comparison


def results(comparison: Comparison) -> Iterator[dict[str, Any]]:
  """Yield a dict for JSON for each run, by row and seed.

  Metrics have the units of summary.json: nats, fractions, seconds and bytes. A run
  without a passed leak check has no metrics that are computed from predictions. `lengths`
  holds the metrics at the lengths of `evaluation.extra_lengths`.
  """
  for row in comparison.rows:
    for run in sorted(row.runs, key=lambda run: run.seed):
      yield {
        "row": row.name,
        "settings": dict(sorted(row.settings.items())),
        "matched": row.matched,
        "note": row.note,
        "seed": run.seed,
        "status": run.status,
        "error": run.error,
        "folder": str(run.folder),
        "leak_check": run.summary.get("leak_check"),
        "metrics": figures(run.summary) if run.status == "finished" else {},
        "lengths": length_figures(run.summary) if run.status == "finished" else {},
      }


def length_figures(summary: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
  """Return the metrics at other lengths than the run's own, by length in tokens.

  There are none without a passed leak check.
  """
  return dict(summary.get("lengths") or {}) if is_checked(summary) else {}


def jsonl(comparison: Comparison) -> str:
  """Return the content of results.jsonl, equal bytes for equal runs."""
  lines = (json.dumps(result, ensure_ascii=False) for result in results(comparison))
  return "".join(line + "\n" for line in lines)
