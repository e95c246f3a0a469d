"""Columns of text: Parquet files, and the Arrow streams of `datasets.save_to_disk`."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from attention_lab.dataset.reader.document import Document, Reading, pieces_of
from attention_lab.dataset.reader.json_lines import missing_field
from attention_lab.dataset.reader.paths import unreadable
from attention_lab.errors import UserError, not_installed

ROWS = 256  # Rows of a Parquet file that are in memory at a time.


def read_parquet(path: Path, reading: Reading) -> Iterator[Document]:
  """Yield the documents of a column of a Parquet file."""
  library = _pyarrow(path)
  with _explained(path, "Parquet"), open(path, "rb") as file:
    content = library.parquet.ParquetFile(file)
    refuse_other_column(path, content.schema_arrow, reading.field)
    batches = content.iter_batches(ROWS, columns=[reading.field])
    yield from _documents(path, batches, reading.field)


def read_stream(path: Path, reading: Reading) -> Iterator[Document]:
  """Yield the documents of a column of an Arrow stream."""
  library = _pyarrow(path)
  with _explained(path, "Arrow"), open(path, "rb") as file:
    content = library.ipc.open_stream(file)
    refuse_other_column(path, content.schema, reading.field)
    yield from _documents(path, content, reading.field)


def refuse_other_column(path: Path, schema: Any, field: str) -> None:
  """Raise `UserError` unless a schema has a column of this name that holds text."""
  if field not in schema.names:
    raise missing_field(str(path), field, schema.names)
  kind = str(schema.field(field).type)
  if kind not in ("string", "large_string", "string_view"):
    raise UserError(f"{path}: the column {field!r} holds {kind}, not text.")


def _documents(path: Path, batches: Iterable[Any], field: str) -> Iterator[Document]:
  row = 0
  for batch in batches:
    for text in batch.column(field):
      row += 1
      origin = f"{path}, row {row:,}"
      if not text.is_valid:
        raise UserError(f"{origin}: the column {field!r} is null, not a text.")
      try:
        content = text.as_py().encode()
      except UnicodeDecodeError as error:
        raise UserError(f"{origin}: not UTF-8 text (byte {error.start:,}).") from None
      yield Document(origin, pieces_of([content]))


@contextlib.contextmanager
def _explained(path: Path, kind: str) -> Iterator[None]:
  """Convert what pyarrow raises at a damaged file to a `UserError`."""
  library = _pyarrow(path)
  try:
    yield
  except library.ArrowException as error:
    reason = str(error).splitlines()[0].rstrip(".")
    raise UserError(f"{path} is not a whole file of {kind}: {reason}.") from None
  except OSError as error:
    if error.strerror:
      raise unreadable(path, error) from None
    reason = str(error).splitlines()[0].rstrip(".")
    raise UserError(f"{path} is not a whole file of {kind}: {reason}.") from None


def _pyarrow(path: Path) -> Any:
  try:
    import pyarrow.ipc
    import pyarrow.parquet
  except ImportError:
    raise not_installed(str(path), "text", "pyarrow") from None
  return pyarrow
