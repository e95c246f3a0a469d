"""Which colour stands for whom: a row's everywhere, and an attention's that is a row's."""

from collections.abc import Sequence


class Palette:
  """Indices of colours: the rows' by their order, then of names that are no row's.

  Args:
    rows: the names of the rows.
  """

  def __init__(self, rows: Sequence[str]):
    self._indices = {name: index for index, name in enumerate(rows)}
    for name in rows:  # "selective" may only be there as "selective, d_ff 213".
      self._indices.setdefault(name.split(",")[0], self._indices[name])

  def index(self, name: str) -> int:
    """The index of a name, always the same one."""
    if name not in self._indices:
      self._indices[name] = max(self._indices.values(), default=-1) + 1
    return self._indices[name]
