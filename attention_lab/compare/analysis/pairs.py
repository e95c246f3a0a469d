"""Pairs of rows to compare: each row with the one that differs in one setting alone."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from attention_lab.compare.analysis.record import Comparison, Row

Pair: TypeAlias = tuple[str, str]  # A row, and a row that it is compared with.


def compared(comparison: Comparison) -> dict[str, tuple[str, ...]]:
  """Return for each row the names of the rows that it is compared with; () for none.

  A row may name them. By default it is the first row that differs in the setting `about`
  alone; the sizes that matching changed do not count. Losses on different datasets are
  never compared.
  """
  varied = {key for row in comparison.rows if not row.matched for key in row.settings}
  equal = sorted(varied - ({comparison.about} - {"dataset"}))
  first: dict[tuple[str, ...], str] = {}
  found = {}
  names = {row.name for row in comparison.rows}
  for row in comparison.rows:
    origin = origin_of(comparison, row)
    group = tuple(repr(value(comparison, origin, key)) for key in equal)
    name = first.setdefault(group, row.name)
    by_rule = () if name == row.name else (name,)
    found[row.name] = tuple(each for each in row.against if each in names) or by_rule
  return found


def origin_of(comparison: Comparison, row: Row) -> Row:
  """Return the row that a matched row was made of; of other rows, the row itself."""
  return next((each for each in comparison.rows if each.name == row.made_from), row)


def value(comparison: Comparison, row: Row, key: str) -> Any:
  """Return a row's value of a setting in which rows differ, or that was tuned."""
  if key in row.chosen:
    return row.chosen[key]
  known = {"dataset": comparison.dataset or None, **comparison.baseline}
  return row.settings.get(key, known.get(key))


def families(
  comparison: Comparison, compared: Mapping[str, Sequence[str]]
) -> list[list[Pair]]:
  """Return the pairs whose tests are corrected together.

  Rows that matching has added answer a question of their own, and are a family of theirs.
  """
  split = [
    [
      (row.name, other)
      for row in comparison.rows
      if bool(row.matched) == own
      for other in compared[row.name]
    ]
    for own in (False, True)
  ]
  return [pairs for pairs in split if pairs]
