"""A section of the reports that consists of tables and a note."""

from collections.abc import Sequence
from typing import NamedTuple


class Table(NamedTuple):
  """A table; the first cell of each line is its name, and perhaps the last one a text."""

  caption: str
  head: Sequence[str]
  body: list[list[str]]
  ends_in_text: bool = False


class Section(NamedTuple):
  """Tables below a heading."""

  key: str  # Its anchor on the page.
  heading: str
  tables: Sequence[Table]
  note: str
