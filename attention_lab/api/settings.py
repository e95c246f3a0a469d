"""Settings as keyword arguments: the name of a flag, or a name with `__` for each dot."""

import re
from collections.abc import Iterable, Mapping
from keyword import iskeyword
from typing import Any

from attention_lab import config as configs
from attention_lab.config import Config
from attention_lab.errors import UserError, nearest
from attention_lab.settings.table import LISTED, SETTINGS

KEYWORDS = {key.replace(".", "__"): key for key in SETTINGS}
KEYWORDS |= {setting.flag: key for key, setting in SETTINGS.items() if setting.flag}

# Beginnings of the settings that an evaluation uses, besides those of `is_evaluable`.
EVALUATED = ("evaluation.", "sample.", "checkpoint.changed_code", "skip_checks")
# Those that are arguments of their own, with what to do instead.
BY_ARGUMENT = {f"evaluation.{x}": f"name it {x}" for x in ("split", "stride")}


def key_of(word: str) -> str:
  """Return the setting that a keyword names; raise `UserError` if there is none."""
  if word not in KEYWORDS:
    raise UserError(f"There is no setting {word!r}. {nearest(word, KEYWORDS, LISTED)}")
  return KEYWORDS[word]


def by_key(settings: Mapping[str, Any], unused: Mapping[str, str]) -> dict[str, Any]:
  """Return the values of keywords by setting.

  Args:
    settings: keyword → value.
    unused: settings, or sections that end in a dot, that the call does not use, with what
      to do instead.

  Raises:
    UserError: there is no such setting, or the call does not use it.
  """
  found = {}
  for word, value in settings.items():
    key = key_of(word)
    for prefix, advice in unused.items():
      if key == prefix or (prefix.endswith(".") and key.startswith(prefix)):
        raise UserError(f"{word}={value!r} has no effect here; {advice}.")
    found[key] = value
  return found


def assign(config: Config, values: Mapping[str, Any]) -> None:
  """Set settings to values, in which a list stands for a tuple.

  Raises:
    UserError: a setting does not accept its value.
  """
  for key, value in values.items():
    is_list = isinstance(value, list)
    if is_list and SETTINGS[key].type is not tuple:
      raise UserError(f"{key}={value}: give one value; lists are for compare.")
    configs.set_value(config, key, tuple(value) if is_list else value)
  configs.replace_length(config, values)
  configs.validate(config)


def refuse_of_training(keys: Iterable[str]) -> None:
  """Raise `UserError` at a setting that cannot be changed for an evaluation."""
  for key in keys:
    if not (configs.is_evaluable(key) or key.startswith(EVALUATED)):
      raise UserError(f"{key} cannot be changed for an evaluation; omit it.")


def in_keywords(text: str, section: str = "") -> str:
  """Return a message with keyword arguments in place of flags.

  Args:
    text: such as "--seeds=0: take a number above 0." Modes become functions, too.
    section: section of settings whose keywords the function takes without its name.
  """

  def keyword(found: re.Match[str]) -> str:
    dotted, flag, value = found.groups()
    if flag == "plugin" and value:
      return f"plugins=[{value!r}]"
    if flag == "trust_plugins":
      return "trust_plugins=True"
    if flag == "config" and value:
      return str(value)  # The configuration's file is the first argument.
    key = dotted or KEYWORDS.get(flag, "")
    if key not in SETTINGS and not dotted and flag != "workdir":
      return found[0]
    name = _keyword(key, section) if key else flag
    kind = SETTINGS[key].type if key in SETTINGS else str
    if value is None:
      return f"{name}=True" if flag and kind is bool else name
    return f"{name}={value!r}" if kind is str else f"{name}={value}"

  modes = r"--mode=(check|evaluate|sample)\b(?: --attention='[^']*')?"
  text = re.sub(modes, r"attention_lab.\1", text)
  pattern = r"--(?:config\.([\w.]*\w)|(\w+))(?:=([^\s,;:']*[^\s,;:'.]))?"
  return re.sub(pattern, keyword, text)


def _keyword(key: str, section: str) -> str:
  """Return the keyword of a setting: its flag's name, or its own."""
  own, _, rest = key.partition(".")
  if section and own == section:
    return rest
  flag = SETTINGS[key].flag if key in SETTINGS else ""
  return flag if flag.isidentifier() and not iskeyword(flag) else key.replace(".", "__")
