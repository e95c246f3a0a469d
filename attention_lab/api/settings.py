"""Settings as keyword arguments: the name of a flag, or a name with `__` for each dot."""

from collections.abc import Mapping, Sequence
from typing import Any

from attention_lab import config as configs
from attention_lab.compare import grid, named
from attention_lab.config import Config
from attention_lab.errors import UserError, nearest
from attention_lab.settings.table import SETTINGS

KEYWORDS = {key.replace(".", "__"): key for key in SETTINGS}
KEYWORDS |= {setting.flag: key for key, setting in SETTINGS.items() if setting.flag}
# Settings that a comparison in this process does not use, with what to do instead.
UNUSED = {
  "attention": "name the attentions first, without a keyword",
  "plugins": "import the module instead",
  "compare.dry_run": "it trains in this process",
  "compare.folders": "join folders with --mode=report",
  "compare.grid": "give a list of values",
  "compare.jobs": "runs of this process take turns",
  "compare.launcher": "use --mode=compare",
  "compare.rows": "use --mode=compare",
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
  given: dict[str, Any] = {"attention": list(attentions)}
  for word, value in settings.items():
    key = _key(word)
    if key in UNUSED or key.startswith("compare.slurm."):
      advice = UNUSED.get(key, UNUSED["compare.launcher"])
      raise UserError(f"{word}={value!r} has no effect here; {advice}.")
    given[key] = value
  for key, value in given.items():
    values = _values(config, key, value)
    if len(values) > 1:
      listed[key] = values
  if not listed:
    raise NOTHING
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


def _key(word: str) -> str:
  """Return the setting that a keyword names."""
  if word not in KEYWORDS:
    raise UserError(f"There is no setting {word!r}. {nearest(word, KEYWORDS)}")
  return KEYWORDS[word]
