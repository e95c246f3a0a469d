"""Lists of values in flags as a grid: every combination is a row with a name of its own.

This module imports neither jax nor anything else that is slow: flags are read first.
"""

import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import config_dict

from attention_lab import config as configs
from attention_lab.errors import UserError

# What all rows share, and what to type instead.
SHARED = {
  "seed": "name the first one and count with --seeds=5",
  "steps": "all rows take as many",
}
# Settings whose value says by itself what it is of.
SPEAKING = ("attention", "position", "dataset", "architecture.name")
LONGEST = 60  # Characters of a row's folder.


class Named(NamedTuple):
  """A combination of the grid."""

  name: str
  config: config_dict.ConfigDict


def alternatives(text: str) -> list[str]:
  """The parts of a list, which ends at commas outside of brackets and quotes.

  A pattern along the layers, which has commas itself, stands in brackets:
  'standard,(sliding_window*3,standard)'.
  """
  parts, depth, quote = [""], 0, ""
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
      parts.append("")
      continue
    parts[-1] += character
  return [_bare(part.strip()) for part in parts]


def _bare(part: str) -> str:
  """A pattern without the brackets around it; a spec begins with its name."""
  return part[1:-1] if part.startswith("(") and part.endswith(")") else part


def read(
  config: config_dict.ConfigDict, assignments: Sequence[tuple[str, str]]
) -> dict[str, tuple[Any, ...]]:
  """Sets what flags say; of a list, the first value, and all of them in the grid.

  A list may stand for any setting that numbers depend on and that is no tuple itself.

  Args:
    config: is changed.
    assignments: (setting, text), of which later ones count.

  Returns:
    The grid: setting → its values, two or more.

  Raises:
    UserError: a value that the setting cannot have, or that is named twice.
  """
  grid = _stored(config)
  for name, text in assignments:
    key = configs.RENAMED.get(name, name)
    parts = alternatives(text) if _may_vary(config, key) else [text]
    if key == "compare.grid":
      raise UserError("Write lists in flags: --attention=standard,linear.")
    if len(parts) > 1 and key in SHARED:
      flag = configs.flag_of(key)
      raise UserError(f"{flag}={text}: take one value; {SHARED[key]}.")
    values = []
    for part in parts:
      configs.set_text(config, key, part)
      values.append(dict(configs.flatten(config))[key])
    if twice := [value for value in values if values.count(value) > 1]:
      raise UserError(f"{configs.flag_of(key)}={text} names {twice[0]} twice.")
    configs.set_value(config, key, values[0])
    grid.pop(key, None)
    if len(values) > 1:
      grid[key] = tuple(values)
  return grid


def _stored(config: config_dict.ConfigDict) -> dict[str, tuple[Any, ...]]:
  """The grid of an experiment file."""
  try:
    return {str(key): tuple(values) for key, values in config.compare.grid}
  except (TypeError, ValueError):
    raise UserError(
      f"compare.grid={config.compare.grid}: take pairs of a setting and its values: "
      f"(('attention', ('standard', 'linear')),)."
    ) from None


def _may_vary(config: config_dict.ConfigDict, key: str) -> bool:
  known = dict(configs.flatten(config))
  free = key.startswith(configs.FREE)
  return key in known and not free and not isinstance(known[key], tuple)


def rows(config: config_dict.ConfigDict) -> list[Named]:
  """Every combination of the grid, the first values first; the last setting fastest.

  Args:
    config: with its grid, as `read` left it.
  """
  grid, found = _stored(config), []
  for values in itertools.product(*grid.values()):
    own = config.copy_and_resolve_references()
    own.compare = configs.get_config().compare
    own.seeds = configs.get_config().seeds
    chosen = dict(zip(grid, values, strict=True))
    for key, value in chosen.items():
      configs.set_value(own, key, value)
    found.append(Named(_name(chosen, own), own))
  return found


def _name(chosen: Mapping[str, Any], config: config_dict.ConfigDict) -> str:
  """What a combination is called: its attention and the rest in which rows differ."""
  named = [str(chosen.get("attention", config.attention))]
  bare = sum(isinstance(value, float) for value in chosen.values()) == 1
  for key, value in chosen.items():
    if key == "attention":
      continue
    if key in SPEAKING or (bare and isinstance(value, float)):
      named.append(told(value))
    else:
      named.append(f"{key.rpartition('.')[2]} {told(value)}")
  return ", ".join(named)


def told(value: Any) -> str:
  """A value as it stands in a row's name."""
  short = f"{value:g}" if isinstance(value, float) else str(value)
  return short if not isinstance(value, float) or float(short) == value else repr(value)


def folder(name: str) -> str:
  """A folder's name for a row: readable, and another one for another row."""
  safe = re.sub(r"[^\w.+-]+", "-", name.replace(", ", "-").replace(" ", "_")).strip("-")
  if re.fullmatch(r"[\w.+, -]+", name) and len(safe) <= LONGEST:
    return safe
  return f"{safe[:LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def words(config: config_dict.ConfigDict) -> Iterator[str]:
  """The flags by which a run has this configuration, whatever its folder."""
  for key, (_, value) in configs.differences(
    configs.get_config(), config, free=("compare.", "seeds", "plugins")
  ).items():
    text = str(value).lower() if isinstance(value, bool) else str(value)
    yield f"{configs.flag_of(key)}={text}"
  for plugin in config.plugins:
    yield f"--plugin={plugin}"
