"""Pairs of rows to compare: each row with the one that differs in one setting alone."""

from collections.abc import Mapping
from typing import Any

from attention_lab.compare.analysis.record import Comparison, Row


def baselines(comparison: Comparison) -> dict[str, str]:
  """Return for each row the name of its baseline; "" for a row that is one.

  It is the first row that differs in the setting `about` alone; the sizes that matching
  changed do not count. Losses on different datasets are therefore never compared.
  """
  varied = sorted(
    {key for row in comparison.rows if not row.matched for key in row.settings}
    - {comparison.about}
  )
  first: dict[tuple[str, ...], str] = {}
  found = {}
  for row in comparison.rows:
    origin = origin_of(comparison, row)
    group = tuple(repr(value(comparison, origin, key)) for key in varied)
    name = first.setdefault(group, row.name)
    found[row.name] = "" if name == row.name else name
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


def families(comparison: Comparison, compared: Mapping[str, str]) -> list[list[str]]:
  """Return the names of the rows whose tests are corrected together.

  Rows that matching has added answer a question of their own, and are a family of theirs.
  """
  rows = [row for row in comparison.rows if compared[row.name]]
  split = [
    [row.name for row in rows if bool(row.matched) == own] for own in (False, True)
  ]
  return [names for names in split if names]
