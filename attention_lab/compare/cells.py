"""A cell is a run of one row with one seed: its folder, and what the folder says of it."""

import json
import os
import re
from pathlib import Path
from typing import Any

from attention_lab.compare import grid
from attention_lab.run.metrics_file import records
from attention_lab.system.files import write_atomically

TAIL = 65_536  # Bytes of a log in which its last error is looked for.


def folder(workdir: Path, row: str, seed: int) -> Path:
  """Where a cell's run lives; its log and its failure lie beside it."""
  return workdir / "cells" / grid.folder(row) / f"seed{seed}"


def summary(cell: Path) -> dict[str, Any]:
  """What a run has written at its end; empty before."""
  try:
    content: dict[str, Any] = json.loads((cell / "summary.json").read_text("utf-8"))
    return content
  except (OSError, ValueError):
    return {}


def finished(cell: Path, steps: int) -> bool:
  """Whether the run has taken so many steps, and said what came of them."""
  return bool(summary(cell).get("steps", 0) >= steps)


def curve(cell: Path) -> list[dict[str, Any]]:
  """The records of metrics.jsonl so far."""
  return records(cell / "metrics.jsonl")


def failure(cell: Path) -> str:
  """Why the last start of the run failed, in a line; "" if it did not."""
  path = _failed(cell)
  return path.read_text("utf-8").strip() if os.path.exists(path) else ""


def set_failure(cell: Path, error: str) -> None:
  """Notes why a start failed; "" forgets it."""
  if error:
    line = f"{error}\n".encode()
    write_atomically(
      cell.parent, lambda file: file.write(line), lambda _: _failed(cell).name
    )
  else:
    _failed(cell).unlink(missing_ok=True)


def _failed(cell: Path) -> Path:
  return cell.with_name(f"{cell.name}.failed")


def last_error(log: Path) -> str:
  """The last line of a log that names an error, else its last line."""
  with open(log, "rb") as file:
    file.seek(max(0, os.path.getsize(log) - TAIL))
    text = file.read().decode("utf-8", "replace")
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  named = [line for line in lines if re.match(r"[A-Za-z_][\w.]*(: |$)", line)]
  found = (named or lines or ["it said nothing"])[-1]
  return found.removeprefix("error: ")
