"""metrics.jsonl: one JSON object a line, flushed as written: the record of truth."""

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any

from attention_lab.files import write_atomically, writing


class Journal:
  """Appends records; what a run will write again is cut off first.

  Args:
    path: the file, made if need be.
    step: the step that the run goes on from; records of later steps, and a line that
      was cut in the middle, are dropped.

  All that writes raises UserError where it cannot.
  """

  def __init__(self, path: Path, step: int):
    kept = [line for line in records(path) if line["step"] <= step]
    text = "".join(json.dumps(record) + "\n" for record in kept)
    with writing(path):
      write_atomically(
        path.parent, lambda file: file.write(text.encode()), lambda _: path.name
      )
      self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115  (closed in close)
    self._path = path

  def write(self, step: int, split: str, **values: Any) -> None:
    """Writes a record; numbers that are not finite become their names, as strings."""
    record = {"step": step, "split": split}
    record |= {key: _jsonable(value) for key, value in values.items()}
    with writing(self._path):
      self._file.write(json.dumps(record, allow_nan=False) + "\n")
      self._file.flush()

  def sync(self) -> None:
    """Returns when all records are on the disk."""
    with writing(self._path):
      os.fsync(self._file.fileno())

  def close(self) -> None:
    """Closes the file."""
    with contextlib.suppress(OSError):  # What could not be written was told of.
      self._file.close()


def _jsonable(value: Any) -> Any:
  return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def records(path: Path) -> list[dict[str, Any]]:
  """The records of a file, up to a line that is not whole; none where it is missing."""
  records = []
  for line in path.read_text("utf-8", "replace").splitlines() if path.exists() else ():
    try:
      record = json.loads(line)
      record["step"] + 0
    except (ValueError, KeyError, TypeError):
      break
    records.append(record)
  return records
