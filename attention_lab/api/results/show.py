"""Results as data frames of pandas and as HTML tables of notebooks."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from attention_lab.errors import not_installed


class Printed:
  """A result that a Python session shows as it is printed: its fields are long."""

  def __repr__(self) -> str:
    return str(self)


def pandas() -> Any:
  """Return the module pandas.

  Raises:
    UserError: it is not installed.
  """
  try:
    import pandas as module
  except ImportError:
    raise not_installed("to_pandas", "pandas", "pandas") from None
  return module


def frame(records: Sequence[Mapping[str, Any]]) -> Any:
  """Return records as a `pandas.DataFrame`, a line each.

  Raises:
    UserError: pandas is not installed.
  """
  return pandas().DataFrame.from_records([dict(record) for record in records])


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
  """Return a table of texts as HTML."""
  return (
    f"<table>{_cells('th', head)}{''.join(_cells('td', row) for row in body)}</table>"
  )


def _cells(tag: str, texts: Sequence[str]) -> str:
  cells = "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)
  return f"<tr>{cells}</tr>"
