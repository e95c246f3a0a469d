"""metrics.jsonl: one JSON object per line, flushed after each line."""

import base64
import contextlib
import json
import os
import sys
import zlib
from pathlib import Path
from typing import Any

from attention_lab.errors import UserError
from attention_lab.system.files import (
  finite_or_named,
  is_missing,
  write_file,
  writing,
)
from attention_lab.system.regular import no_follow, read_regular
from attention_lab.system.shape import AtLeast, refuse_malformed

# Most bytes of records per byte of a copy: similar records are packed 30 to 1.
MOST_EXPANSION = 100
RECORD = {
  "step": AtLeast(int, 0),
  "split?": str,
  "event?": str,
  **{f"{name}?": float for name in ("loss", "accuracy", "learning_rate", "grad_norm")},
}


class MetricsFile:
  """Appends records to a file, and keeps a copy of them for the checkpoints.

  Args:
    path: the file; it is made if it does not exist.
    copy: the `copy` saved with the step that the run resumes at. The file then holds
      exactly these records, whatever was cut from it since.

  Methods that write raise `UserError` if they cannot.
  """

  def __init__(self, path: Path, copy: str = ""):
    content = unpack(copy)
    lost = content.count(b"\n") - len(records(path))
    if lost > 0:
      print(
        f"warning: {path} lacks {lost} of its records; they are taken from the "
        f"checkpoint.",
        file=sys.stderr,
      )
    with writing(path):
      write_file(path, content)
      # Closed in `close`.
      self._file = open(path, "ab", opener=no_follow)  # noqa: SIM115
    self._path = path
    self._packer = zlib.compressobj()
    self._packed = self._packer.compress(content)

  def write(self, step: int, split: str, **values: Any) -> None:
    """Write a record; numbers that are not finite are written as strings."""
    record = {"step": step, "split": split} | finite_or_named(values)
    line = json.dumps(record, allow_nan=False).encode() + b"\n"
    with writing(self._path):
      self._file.write(line)
      self._file.flush()
    self._packed += self._packer.compress(line)

  def copy(self) -> str:
    """Return all records, compressed."""
    return base64.b64encode(self._packed + self._packer.copy().flush()).decode()

  def sync(self) -> None:
    """Wait until all records are on the disk."""
    with writing(self._path):
      os.fsync(self._file.fileno())

  def close(self) -> None:
    """Close the file."""
    with contextlib.suppress(OSError):  # A failed write was reported before.
      self._file.close()


def unpack(copy: str) -> bytes:
  """Return the records of a copy.

  Raises:
    ValueError: it is damaged, or expands more than records do.
  """
  try:
    packed = base64.b64decode(copy, validate=True)
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed, MOST_EXPANSION * max(1, len(packed)))
  except (ValueError, zlib.error) as error:
    raise ValueError(f"is damaged ({error})") from None
  if unpacker.unconsumed_tail:
    raise ValueError(f"expands to more than {MOST_EXPANSION} times its size")
  if packed and not unpacker.eof:
    raise ValueError("is damaged (it is cut off)")
  return content


def records(path: Path) -> list[dict[str, Any]]:
  """Return the records of a file, up to a damaged line; none if it is missing.

  A file that cannot be read has none either, and is named on standard error.
  """
  records, content = [], b""
  if not is_missing(path):
    try:
      content = read_regular(path)
    except OSError as error:
      print(f"warning: cannot read {path}: {error.strerror}.", file=sys.stderr)
  for line in content.decode("utf-8", "replace").split("\n"):
    try:
      record = json.loads(line)
      refuse_malformed(path, record, RECORD)
    except (ValueError, RecursionError, UserError):
      break
    records.append(record)
  return records
