"""The grid of a comparison: each combination of the listed values is a row.

Named rows are combined with the grid: each of them has every combination.

This module imports neither jax nor anything else that is slow, because flags are read
before those imports.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from attention_lab import config as configs
from attention_lab.compare import named
from attention_lab.compare.analysis.wording import row_name, setting_text
from attention_lab.config import Config
from attention_lab.errors import UserError

MOST_ROWS = 1_000  # Combinations of a grid, and of tuning.
# What a comparison is about if several settings vary: the first of these that does.
SUBJECTS = ("attention", "position", "architecture.name")


class Named(NamedTuple):
  """A combination of the grid, with the name of its row."""

  name: str
  config: Config
  against: tuple[str, ...] = ()  # Names of the rows that it asks to be compared with.


def alternatives(text: str) -> list[str]:
  """Split a list at its commas outside brackets and quotes.

  A pattern along the layers contains commas, so it is put in brackets:
  'standard,(sliding_window*3,standard)'.
  """
  items, depth, quote = [""], 0, ""
  for character in text:
    if quote:
      quote = "" if character == quote else quote
    elif character in "'\"":
      quote = character
    elif character in "([{":
      depth += 1
    elif character in ")]}":
      depth -= 1
    elif character == "," and depth == 0:
      items.append("")
      continue
    items[-1] += character
  return [_without_brackets(item.strip()) for item in items]


def _without_brackets(item: str) -> str:
  """Remove the brackets around a pattern; any other item begins with a name."""
  return item[1:-1] if item.startswith("(") and item.endswith(")") else item


def read(
  config: Config, assignments: Sequence[tuple[str, str]]
) -> dict[str, tuple[Any, ...]]:
  """Assign settings from text, and return the lists of values among them as a grid.

  A list is accepted for any setting that affects results and is not a tuple itself. The
  configuration gets the list's first value.

  Args:
    config: the configuration, which is modified.
    assignments: pairs of a setting and its text; later ones override earlier ones.

  Returns:
    The grid: setting → its values, two or more.

  Raises:
    UserError: the setting does not accept the value, the value is listed twice, or a named
      row overrides it.
  """
  grid = _stored(config)
  for name, text in assignments:
    key = name
    listed = key in named.SHARED or may_vary(config, key)
    items = alternatives(text) if listed else [text]
    refuse_many(len(items), configs.flag_of(key) if listed else "")
    if key == "compare.grid":
      raise UserError("Write lists in flags: --attention=standard,linear.")
    if len(items) > 1 and key in named.SHARED:
      flag = configs.flag_of(key)
      raise UserError(f"{flag}={text}: give one value; {named.SHARED[key]}.")
    values = []
    for item in items:
      configs.set_text(config, key, item)
      values.append(dict(configs.flatten(config))[key])
    if repeated := [value for value in values if values.count(value) > 1]:
      raise UserError(f"{configs.flag_of(key)}={text} lists {repeated[0]} twice.")
    configs.set_value(config, key, values[0])
    grid.pop(key, None)
    if len(values) > 1:
      grid[key] = tuple(values)
    refuse_many(math.prod(map(len, grid.values())), "The grid")
  named.refuse_hidden(named.read(config), dict(assignments), list(grid))
  return grid


def refuse_many(number: int, what: str) -> None:
  """Raise `UserError` if something, as a message names it, stands for too many rows."""
  if number > MOST_ROWS:
    raise UserError(
      f"{what} has {number} combinations; a comparison has at most {MOST_ROWS}."
    )


def _stored(config: Config) -> dict[str, tuple[Any, ...]]:
  """Return the grid that the configuration already has, from an experiment file."""
  try:
    return {str(key): tuple(values) for key, values in config.compare.grid}
  except (TypeError, ValueError):
    raise UserError(
      f"compare.grid={config.compare.grid}: give pairs of a setting and its values, "
      f"such as (('attention', ('standard', 'linear')),)."
    ) from None


def may_vary(config: Config, key: str) -> bool:
  """Return whether a setting may have a list of values."""
  known = dict(configs.flatten(config))
  return (
    key in known and not configs.is_resumable(key) and not isinstance(known[key], tuple)
  )


def rows(config: Config) -> list[Named]:
  """Return every combination of named rows and grid; its last setting varies fastest.

  Args:
    config: a configuration with its grid, from `read`.
  """
  bases: list[tuple[named.NamedRow | None, Config]] = [
    (row, row.applied(config)) for row in named.read(config)
  ]
  return [
    _combination(row, base, chosen)
    for row, base in bases or [(None, config)]
    for chosen in _chosen(config)
  ]


def _chosen(config: Config) -> Iterator[dict[str, Any]]:
  """Yield the settings of every combination of the grid."""
  grid = _stored(config)
  for values in itertools.product(*grid.values()):
    yield dict(zip(grid, values, strict=True))


def _combination(
  named_row: named.NamedRow | None, base: Config, chosen: Mapping[str, Any]
) -> Named:
  """Return the row of a combination of the grid.

  Args:
    named_row: the named row that the combination belongs to, if there are any.
    base: its configuration.
    chosen: setting → the combination's value.
  """
  row = base.copy_and_resolve_references()
  row.compare, row.seeds = configs.get_config().compare, configs.get_config().seeds
  for key, value in chosen.items():
    configs.set_value(row, key, value)
  if named_row is None:
    return Named(row_name(chosen, str(row.attention)), row)
  texts = [setting_text(key, value) for key, value in chosen.items()]
  name, *against = (
    ", ".join([name, *texts]) for name in (named_row.name, *named_row.against)
  )
  return Named(name, row, tuple(against))


def about(config: Config) -> str:
  """Return the setting that a comparison is about.

  Args:
    config: a configuration with its grid, from `read`.
  """
  rows = [dict(configs.flatten(row.applied(config))) for row in named.read(config)]
  return subject(
    [
      key
      for key in varied(config)
      if key in _stored(config) or any(row[key] != rows[0][key] for row in rows)
    ]
  )


def subject(keys: Sequence[str]) -> str:
  """Return the one of the settings that vary, at least one, that rows are judged by."""
  others = [key for key in keys if key != "dataset"]
  return next((key for key in SUBJECTS if key in keys), (others or keys)[0])


def varied(config: Config) -> list[str]:
  """Return the settings of a grid, and those that named rows set."""
  own = (key for row in named.read(config) for key in row.settings)
  return list(dict.fromkeys((*own, *_stored(config))))


def words(config: Config) -> Iterator[str]:
  """Yield the flags that give a run this configuration."""
  for key, (_, value) in configs.differences(
    configs.get_config(),
    config,
    ignore=lambda key: key.startswith(("compare.", "seeds", "plugins")),
  ).items():
    text = str(value).lower() if isinstance(value, bool) else str(value)
    # --from would take the other settings of that run, too.
    flag = f"--config.{key}" if key == "train.start_from" else configs.flag_of(key)
    yield f"{flag}={text}"
  for plugin in config.plugins:
    yield f"--plugin={plugin}"
