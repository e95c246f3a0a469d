"""Colours of rows and attentions, the same in every figure."""

from collections.abc import Sequence


class Palette:
  """Indices of colours: rows in their order, then other names.

  An attention has the colour of the row named after it.

  Args:
    rows: the names of the rows.
  """

  def __init__(self, rows: Sequence[str]):
    self._indices = {name: index for index, name in enumerate(rows)}
    for name in rows:  # There may be "selective, d_ff 213" without "selective".
      self._indices.setdefault(name.split(",")[0], self._indices[name])

  def index(self, name: str) -> int:
    """Return the index of a name; a new name gets the next free index."""
    if name not in self._indices:
      self._indices[name] = max(self._indices.values(), default=-1) + 1
    return self._indices[name]
