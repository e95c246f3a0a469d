"""The settings that --tune names, and their combinations."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

from attention_lab import config as configs
from attention_lab.compare import grid, match, named
from attention_lab.config import Config
from attention_lab.errors import UserError
from attention_lab.settings.table import SETTINGS

EXAMPLE = "--tune='train.learning_rate=1e-3,3e-3,1e-2'"

# A combination of values: setting → value.
Combination = Mapping[str, Any]


def read(config: Config) -> list[Combination]:
  """Return the combinations of values that --tune lists; none if there is no --tune.

  Raises:
    UserError: the text is malformed, or names a setting that cannot be tuned.
  """
  text = config.compare.tune
  if not text:
    return []
  values: dict[str, list[Any]] = {}
  for assignment in text.split(";"):
    key, equals, listed = (each.strip() for each in assignment.partition("="))
    if not equals or not listed:
      raise UserError(
        f"--tune={text}: write settings with their values, separated by semicolons, such "
        f"as {EXAMPLE}."
      )
    if key in values:
      raise UserError(f"--tune={text} names {key} twice; list all its values at once.")
    _refuse(config, key)
    texts = grid.alternatives(listed)
    grid.refuse_many(math.prod(map(len, values.values())) * len(texts), "--tune")
    values[key] = _values(config, key, texts)
  combinations: list[Combination] = [
    dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())
  ]
  if len(combinations) < 2:
    raise UserError(
      f"--tune={text} leaves no choice; list two values, as in {EXAMPLE}."
    )
  return combinations


def with_values(config: Config, combination: Combination) -> Config:
  """Return a copy of a configuration with the values of a combination."""
  changed = config.copy_and_resolve_references()
  for key, value in combination.items():
    configs.set_value(changed, key, value)
  return changed


def _values(config: Config, key: str, texts: list[str]) -> list[Any]:
  found: list[Any] = []
  trial = config.copy_and_resolve_references()
  for text in texts:
    configs.set_text(trial, key, text)
    configs.validate(trial)
    value = dict(configs.flatten(trial))[key]
    if value in found:
      raise UserError(f"--tune lists {value} twice for {key}.")
    found.append(value)
  return found


def _refuse(config: Config, key: str) -> None:
  """Raise `UserError` if a setting cannot be tuned."""
  if key in grid.varied(config):
    raise UserError(
      f"--tune={config.compare.tune}: rows differ in {key}; it is either compared or "
      f"tuned. Omit it in one place."
    )
  if key in named.SHARED or (key in SETTINGS and not grid.may_vary(config, key)):
    raise UserError(
      f"--tune={config.compare.tune}: {key} cannot be tuned; choose settings that affect "
      f"training, as in {EXAMPLE}."
    )
  if key in ("dataset", "train.held_out"):
    raise UserError(
      f"--tune={config.compare.tune}: {key} changes what a loss is measured on, so it "
      f"cannot be tuned."
    )
  if key in match.SIZES and config.compare.match != "none":
    raise UserError(
      f"--tune={config.compare.tune}: {key} changes the size that matched rows share; "
      f"type --match=none to tune it."
    )
