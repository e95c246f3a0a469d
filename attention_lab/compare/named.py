"""Named rows of a comparison: each has settings of its own, and may name its controls.

This module imports neither jax nor anything else that is slow, because flags are read
before those imports.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from attention_lab import config as configs
from attention_lab.config import Config
from attention_lab.errors import UserError, nearest
from attention_lab.settings.table import SETTINGS

# Settings that all rows share, with the advice for those who give several values.
SHARED = {
  "seed": "give the first seed, and the number of seeds with --seeds=5",
  "seeds": "--seeds=3 trains three, from the one on that --seed=1 names",
  "steps": "all rows are trained for the same number of steps",
}
AGAINST = "against"  # Names the rows that a row is compared with; not a setting.
FORM = "(('standard', {}), ('wide', {'model.d_ff': 320}))"


class NamedRow(NamedTuple):
  """A row with settings of its own."""

  name: str
  settings: Mapping[str, Any]  # Setting → value.
  # Names of the rows that it is compared with; () for those of the general rule.
  against: tuple[str, ...]

  def applied(self, config: Config) -> Config:
    """Return a copy of a configuration with the row's settings."""
    row = config.copy_and_resolve_references()
    for key, value in self.settings.items():
      configs.set_value(row, key, value)
    return row


def read(config: Config) -> list[NamedRow]:
  """Return the rows that the setting compare.rows names, the baseline first.

  Raises:
    UserError: the setting has another form, or a row is invalid.
  """
  rows = [_row(item) for item in config.compare.rows]
  names = [row.name for row in rows]
  if len(rows) == 1:
    raise UserError(
      f"compare.rows has the row {names[0]!r} alone; name two or more, the baseline first."
    )
  if twice := [name for name in names if names.count(name) > 1]:
    raise UserError(f"compare.rows has two rows {twice[0]!r}; give each its own name.")
  by_name = {row.name: row.applied(config) for row in rows}
  for (name, one), (other, two) in itertools.combinations(by_name.items(), 2):
    if not configs.differences(one, two):
      raise UserError(f"Rows {name!r} and {other!r} have equal settings; omit one.")
  for row in rows:
    _check_controls(row, by_name)
  return rows


def _row(item: Any) -> NamedRow:
  """Return a row from a pair of its name and its settings."""
  try:
    name, values = item
    known = dict(configs.flatten(values))
    against = known.pop(AGAINST, ())
    controls = (against,) if isinstance(against, str) else tuple(against)
  except (AttributeError, TypeError, ValueError):
    raise _malformed(item) from None
  if not isinstance(name, str) or not name.strip():
    raise _malformed(item)
  config = configs.get_config()  # Knows the types, which a copy has lost.
  for key, value in known.items():
    _check_setting(name, key)
    try:
      configs.set_value(config, key, value)
    except UserError as error:
      raise UserError(f"Row {name!r}: {error}") from None
  typed = dict(configs.flatten(config))
  return NamedRow(name, {key: typed[key] for key in known}, controls)


def _malformed(item: Any) -> UserError:
  return UserError(
    f"compare.rows has the item {item!r}: give pairs of a name and its settings, such as "
    f"{FORM}."
  )


def _check_setting(name: str, key: str) -> None:
  """Refuse a setting that does not exist, or that all rows share."""
  if key in SHARED:
    raise UserError(f"Row {name!r} sets {key}, which all rows share; {SHARED[key]}.")
  if key not in SETTINGS:
    hint = nearest(key, (*SETTINGS, AGAINST))
    raise UserError(f"Row {name!r}: there is no setting {key!r}. {hint}")
  if configs.is_resumable(key):
    raise UserError(
      f"Row {name!r} sets {key}, which all rows share; set it once, with "
      f"{configs.flag_of(key)}."
    )


def _check_controls(row: NamedRow, rows: Mapping[str, Config]) -> None:
  """Refuse to compare a row with itself, with an unknown row, or with other data."""
  for other in row.against:
    if other == row.name:
      raise UserError(f"Row {row.name!r} is compared with itself; name another row.")
    if other not in rows:
      hint = nearest(str(other), rows)
      raise UserError(
        f"Row {row.name!r} is to be compared with {other!r}, which is no row. {hint}"
      )
    if rows[other].dataset != rows[row.name].dataset:
      raise UserError(
        f"Row {row.name!r} is to be compared with {other!r}, which has another dataset; "
        f"name a row of the same."
      )


def refuse_hidden(
  rows: Sequence[NamedRow], typed: Mapping[str, str], listed: Sequence[str]
) -> None:
  """Raise `UserError` if rows override a setting that is given for all of them.

  Args:
    rows: the named rows.
    typed: setting → its text in the command line.
    listed: settings of the grid.
  """
  for row in rows:
    for key in row.settings:
      advice = f"the row {row.name!r} of compare.rows sets it; change that row instead."
      if key in typed:
        raise UserError(f"{configs.flag_of(key)}={typed[key]}: {advice}")
      if key in listed:
        raise UserError(f"compare.grid lists {key}: {advice}")
