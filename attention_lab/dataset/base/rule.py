"""Options that divide a text into splits."""

from typing import NamedTuple

from attention_lab.dataset.base.corpus import Table
from attention_lab.dataset.base.division import (
  Division,
  Fractions,
  divide,
  enwik8,
)


class Rule(NamedTuple):
  """Options that divide a text."""

  fractions: Fractions
  seed: int
  as_enwik8: bool = False
  separators: bool | None = (
    None  # In front of each document; None if there are several.
  )

  def of(self, table: Table) -> Division:
    """Return the division of documents."""
    if self.as_enwik8:
      return enwik8(table)
    return divide(table, self.fractions, self.seed)

  def of_single(self, size: int, characters: int) -> Division:
    """Return the division of a single document, of which these are bytes and characters."""
    return self.of(Table.of_single(size, characters))
