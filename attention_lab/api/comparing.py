"""The configuration of a comparison, from keyword arguments."""

from collections.abc import Mapping, Sequence
from typing import Any

from attention_lab import config as configs
from attention_lab.api.settings import by_key
from attention_lab.compare import grid, named
from attention_lab.config import Config
from attention_lab.errors import UserError
from attention_lab.settings.table import SETTINGS

# Settings that a comparison in this process does not use, with what to do instead.
UNUSED = {
  "attention": "name the attentions first, without a keyword",
  "plugins": "import the module instead",
  "dry_run": "it trains in this process",
  "compare.folders": "join folders with --mode=report",
  "compare.grid": "give a list of values",
  "compare.jobs": "runs of this process take turns",
  "compare.launcher": "use --mode=compare",
  "compare.rows": "use --mode=compare",
  "compare.slurm.": "use --mode=compare",
}
NOTHING = UserError(
  "There is nothing to compare. Name two attentions, the baseline first: "
  'compare("standard", Mine).'
)


def configuration(attentions: Sequence[str], settings: Mapping[str, Any]) -> Config:
  """Return the configuration of a comparison of attentions.

  Args:
    attentions: their names, the baseline first.
    settings: keyword → value, or a list of values that are compared.

  Raises:
    UserError: there is no such setting, it does not accept the value, or there is nothing
      to compare.
  """
  config, listed = configs.get_config(), dict[str, tuple[Any, ...]]()
  if not attentions:
    raise NOTHING
  given = {"attention": list(attentions)} | by_key(settings, UNUSED)
  for key, value in given.items():
    values = _values(config, key, value)
    if len(values) > 1:
      listed[key] = values
  if not listed:
    raise NOTHING
  configs.replace_length(config, given)
  config.compare.grid = tuple(listed.items())
  configs.validate(config)
  return config


def _values(config: Config, key: str, value: Any) -> tuple[Any, ...]:
  """Set a setting to its first value; return all values that are listed."""
  if not isinstance(value, list) or SETTINGS[key].type is tuple:
    value = [tuple(value) if isinstance(value, list) else value]
  if not value or (
    len(value) > 1 and (key in named.SHARED or not grid.may_vary(config, key))
  ):
    raise UserError(f"{key}={value}: give one value.")
  found: list[Any] = []
  for each in reversed(value):
    configs.set_value(config, key, each)
    found.insert(0, dict(configs.flatten(config))[key])
  if repeated := [each for each in found if found.count(each) > 1]:
    raise UserError(f"{key} lists {repeated[0]} twice.")
  return tuple(found)
