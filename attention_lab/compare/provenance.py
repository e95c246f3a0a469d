"""The environment of finished runs, each distinct text once, for the reports."""

from collections.abc import Mapping, Sequence
from typing import Any

from attention_lab.compare.analysis.record import Row, Run
from attention_lab.run import folder as run_folder


def provenance(rows: Sequence[Row]) -> dict[str, str]:
  """Return the finished runs' environment and the notes of rows: name → text."""
  texts: dict[str, list[str]] = {}
  for row in rows:
    for run in row.runs:
      if run.status != "finished":
        continue
      for name, text in _environment(run).items():
        if text not in texts.setdefault(name, []):
          texts[name].append(text)
  notes = {f"results of {row.name}": row.note for row in rows if row.note}
  return notes | {name: "; ".join(found) for name, found in texts.items()}


def _environment(run: Run) -> dict[str, str]:
  """Return what the provenance of a finished run says of its environment.

  What was not recorded is left out, as the time and the processor by earlier versions.
  """
  provenance = run_folder.provenance(run.folder)
  versions, data = provenance.get("versions") or {}, provenance.get("dataset_sha256")
  known = {
    "date": (provenance.get("started") or "").partition("T")[0],
    "device": _device(provenance),
    "versions": ", ".join(f"{name} {each}" for name, each in versions.items()),
    "commit": (provenance.get("git_commit") or "").replace(
      "+", " with uncommitted changes"
    ),
    f"dataset {run.summary.get('dataset')}": data and f"sha256 {data}",
  }
  return {name: text for name, text in known.items() if text}


def _device(provenance: Mapping[str, Any]) -> str:
  """Return the number and model of the devices; a CPU is named by its processor."""
  devices, platform = provenance.get("devices"), provenance.get("platform")
  if not devices:
    return ""
  name = (provenance.get("processor") if platform == "cpu" else None) or devices[0]
  return f"{len(devices)} × {name} ({platform})"
