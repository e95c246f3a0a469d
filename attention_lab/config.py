"""Configurations: made of the table of settings, read from files, changed by flags.

This module imports neither jax nor anything else that is slow: flags are read first.
"""

import os
import runpy
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ml_collections import config_dict

from attention_lab.errors import UserError, nearest, one_line
from attention_lab.settings import former
from attention_lab.settings.setting import Setting
from attention_lab.settings.table import LISTED, SETTINGS

Config: TypeAlias = config_dict.ConfigDict

TWO_LENGTHS = (
  "--steps and --config.train.tokens both say how long to train; omit one of them."
)

# Names in stored configurations of earlier versions → names today.
FORMER = {setting.former: key for key, setting in SETTINGS.items() if setting.former}
# Values of settings in stored configurations of versions that lack them.
BEFORE = {
  key: setting.before for key, setting in SETTINGS.items() if setting.before is not None
}


def get_config() -> Config:
  """Return the defaults. An experiment file changes those that it needs to."""
  nested: dict[str, Any] = {}
  for key, setting in SETTINGS.items():
    *sections, name = key.split(".")
    section = nested
    for title in sections:
      section = section.setdefault(title, {})
    section[name] = setting.default
    if setting.optional:
      section[name] = config_dict.placeholder(setting.kind)
  return Config(nested)


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
  """Yield every setting as ("section.key", value)."""
  for key, value in config.items():
    if isinstance(value, (dict, config_dict.ConfigDict)):
      yield from flatten(value, f"{prefix}{key}.")
    else:
      yield f"{prefix}{key}", value


def load_file(path: str) -> Config:
  """Return the configuration that `get_config()` of an experiment file returns."""
  if not os.path.isfile(path):
    raise UserError(f"--config={path}: there is no such file.")
  try:
    module = runpy.run_path(path)
    config = module["get_config"]() if "get_config" in module else None
  except UserError as error:
    raise UserError(f"--config={path}: {error}") from None
  except (Exception, SystemExit) as error:
    raise UserError(f"--config={path}: {one_line(error, within=path)}.") from error
  if not isinstance(config, (dict, config_dict.ConfigDict)):
    raise UserError(f"--config={path}: it must define get_config() returning a config.")
  return _from_values(flatten(config))


def from_stored(stored: Mapping[str, Any], path: Path | None = None) -> Config:
  """Return a configuration from the values in a run's config.json.

  Args:
    stored: the values.
    path: the file that they were read from, if any, for messages.

  Raises:
    UserError: a setting is unknown, or has a value of another type.
  """
  values = {FORMER.get(key, key): value for key, value in flatten(stored)}
  for key in values.keys() & SETTINGS.keys():
    values[key] = SETTINGS[key].of_today(values[key])
  try:
    if former.MARK not in values:
      for key, value in values.items():
        if key.rpartition(".")[2] == "attention" and isinstance(value, str):
          values[key] = former.with_former_defaults(value)
    return _from_values((BEFORE | values).items())
  except UserError as error:
    raise UserError(f"{path}: {error}" if path else str(error)) from None


def _from_values(values: Iterable[tuple[str, Any]]) -> Config:
  config = get_config()
  for key, value in values:
    set_value(config, str(key), tuple(value) if isinstance(value, list) else value)
  if config.train.tokens is not None and config.steps != SETTINGS["steps"].default:
    raise UserError(TWO_LENGTHS)
  return config


def set_value(config: Config, key: str, value: Any) -> None:
  """Set "section.key"; raise `UserError` if it is unknown or of another type."""
  setting = _setting(key)
  try:
    if value is None and not setting.optional:
      raise TypeError
    if setting.texts and not all(isinstance(each, str) for each in value):
      raise TypeError
    if setting.path and isinstance(value, str) and value:
      value = os.path.expanduser(value)
    config.update_from_flattened_dict({key: value})
  except (TypeError, ValueError):
    raise UserError(f"--config.{key}={value!r}: expected {setting.expected}.") from None


def set_text(config: Config, key: str, text: str) -> None:
  """Set "section.key" from the text of a flag."""
  setting = _setting(key)
  try:
    value = setting.parse(text)
  except ValueError:
    raise UserError(
      f"--config.{key}={text}: expected {_expected(key, text)}."
    ) from None
  set_value(config, key, value)


def replace_length(config: Config, given: Collection[str]) -> None:
  """Remove a budget of tokens, as of an experiment file, if a number of steps is given.

  Args:
    config: the configuration, which has the given values.
    given: the settings that are given.

  Raises:
    UserError: both are given.
  """
  if {"steps", "train.tokens"} <= {*given}:
    raise UserError(TWO_LENGTHS)
  if "steps" in given:
    set_value(config, "train.tokens", None)


def _expected(key: str, text: str) -> str:
  """Return what a setting accepts instead of a text."""
  kind = SETTINGS[key].expected
  if "," not in text or kind not in ("int", "float"):
    return kind
  if key == "seeds":
    return f"{kind}, the number of seeds: --seeds={text.count(',') + 1}"
  return f"one {kind}; lists are for --mode=compare"


def reset(config: Config, keys: Iterable[str]) -> None:
  """Set settings to their defaults."""
  for key in keys:
    set_value(config, key, SETTINGS[key].default)


def _setting(key: str) -> Setting:
  """Return the declaration of a setting; raise `UserError` if it is unknown."""
  if key in SETTINGS:
    return SETTINGS[key]
  inside = [name for name in SETTINGS if name.startswith(f"{key}.")]
  hint = (
    f"It is a section: {', '.join(inside)}."
    if inside
    else nearest(key, SETTINGS, LISTED)
  )
  raise UserError(f"There is no setting --config.{key}. {hint}")


def flag_of(key: str) -> str:
  """Return what the user types to set a setting."""
  flag = SETTINGS[key].flag
  return f"--{flag}" if flag else f"--config.{key}"


def validate(config: Config) -> None:
  """Raise `UserError` at the first value that no run could use."""
  for key, value in flatten(config):
    SETTINGS[key].refuse(flag_of(key), value)
  average = config.evaluation.average
  if average > 1 and config.evaluation.checkpoint == "best":
    raise UserError(
      f"--config.evaluation.average={average} averages the newest checkpoints, which "
      f"excludes --config.evaluation.checkpoint=best; omit one of the two."
    )


def is_resumable(key: str) -> bool:
  """Return whether a resumed run may change a setting."""
  return SETTINGS[key].resumable


def is_as_before(key: str, value: Any) -> bool:
  """Return whether a setting has its default, and earlier versions without it had it."""
  return bool(key in BEFORE and value == BEFORE[key] == SETTINGS[key].default)


def is_evaluable(key: str) -> bool:
  """Return whether --mode=evaluate may change a setting, which it then records."""
  return SETTINGS[key].evaluable


def differences(
  stored: Mapping[str, Any],
  config: Mapping[str, Any],
  ignore: Callable[[str], bool] = is_resumable,
) -> dict[str, tuple[Any, Any]]:
  """Return the settings that differ: key → (stored, new).

  Args:
    stored: a configuration; missing settings count as different.
    config: another one.
    ignore: whether to leave out a setting; by default those that a resumed run may change.
  """
  old, new = dict(flatten(stored)), dict(flatten(config))
  return {
    key: (old.get(key), new[key])
    for key in new
    if not ignore(key) and old.get(key) != new[key]
  }


# Settings that a stored run does not pass on: a folder of machine code, and a consent.
NOT_PASSED_ON = frozenset({"compile_cache", "checkpoint.changed_code"})
# The settings that name a run: its parts.
PARTS = ("attention", "position", "architecture.name", "dataset")


def changed_settings(config: Config) -> dict[str, Any]:
  """Return the settings that results depend on and that differ from their defaults.

  They are in the order of the table; those in `PARTS` are left out.
  """
  values = dict(flatten(config))
  return {
    key: values[key]
    for key, setting in SETTINGS.items()
    if not (setting.resumable or key in PARTS or values[key] == setting.default)
  }


def words(config: Config) -> list[str]:
  """Return the words that name the folder of a run: its parts, and what was changed."""
  values = dict(flatten(config))
  changed = changed_settings(config).items()
  return [
    *(values[key] for key in PARTS),
    *(f"{key.rpartition('.')[2]}-{value}" for key, value in changed),
  ]


def stored_flags(different: Mapping[str, tuple[Any, Any]]) -> str:
  """Return what to type for the stored values in the result of `differences`."""
  return " ".join(
    f"no {flag_of(key)}" if old is None else shlex.quote(f"{flag_of(key)}={old}")
    for key, (old, _) in different.items()
  )


def difference_text(different: Mapping[str, tuple[Any, Any]]) -> str:
  """Return the result of `differences` as text: "batch_size: 8 there, 16 here"."""
  return ", ".join(
    f"{key}: {old!r} there, {new!r} here" for key, (old, new) in different.items()
  )
