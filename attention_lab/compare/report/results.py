"""results.jsonl: every run of a comparison as one line, for other programs to read."""

import json
from collections.abc import Iterator
from typing import Any

from attention_lab.compare.analysis.measures import figures
from attention_lab.compare.analysis.record import Comparison


def results(comparison: Comparison) -> Iterator[dict[str, Any]]:
  """A dict for JSON of each run, row by row and by seed.

  Metrics are in the units of summary.json: nats, shares, seconds, bytes. A run whose
  leaks are unchecked has none that are made from predictions.
  """
  for row in comparison.rows:
    for run in sorted(row.runs, key=lambda run: run.seed):
      yield {
        "row": row.name,
        "settings": dict(sorted(row.settings.items())),
        "matched": row.matched,
        "seed": run.seed,
        "status": run.status,
        "error": run.error,
        "folder": str(run.folder),
        "leak_check": run.summary.get("leak_check"),
        "metrics": figures(run.summary) if run.status == "finished" else {},
      }


def jsonl(comparison: Comparison) -> str:
  """The file's content: the same runs give the same bytes."""
  lines = (json.dumps(result, ensure_ascii=False) for result in results(comparison))
  return "".join(line + "\n" for line in lines)
