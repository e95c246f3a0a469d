"""Tests of the declarations of the settings and of the page generated from them."""

from pathlib import Path

import pytest

from attention_lab import config as configs
from attention_lab.errors import UserError
from attention_lab.settings.page import page
from attention_lab.settings.setting import LARGEST, Setting
from attention_lab.settings.table import SETTINGS

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "settings.md"


def beyond(setting):
  """Return values just outside of the declared bounds."""
  step = 1 if setting.type is int else 1e-6
  values = []
  if setting.above is not None:
    values += [setting.above, setting.above - step]
  if setting.at_least is not None:
    values.append(setting.at_least - step)
  if setting.at_most is not None:
    values.append(setting.at_most + step)
  if setting.type in LARGEST:
    values.append(LARGEST[setting.type] if setting.below is None else setting.below)
  if setting.choices:
    values.append(setting.choices[0] + "x")
  if setting.lengths:
    values += [(0,), (64, -1), (2**31,)]
  return [setting.type(value) for value in values]


WRONG = [(key, value) for key in SETTINGS for value in beyond(SETTINGS[key])]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_value_out_of_bounds_is_rejected(key, value):
  config = configs.get_config()
  configs.set_value(config, key, value)
  with pytest.raises(UserError) as error:
    configs.validate(config)
  assert str(error.value).startswith(f"{configs.flag_of(key)}={value}: ")


@pytest.mark.parametrize("key", SETTINGS)
def test_declaration_is_complete(key):
  setting = SETTINGS[key]
  assert setting.help.endswith(".")
  assert setting.help[0].isupper() or setting.help[0] == "α"
  assert setting.default is not None or setting.kind is not None
  assert setting.optional == (setting.default is None)
  setting.refuse(key, setting.default)


def test_every_number_has_a_lower_bound():
  for key, setting in SETTINGS.items():
    if setting.type in (int, float):
      assert not (setting.above is None and setting.at_least is None), key


def test_flags_and_former_names_are_unique():
  for names in (
    [setting.flag for setting in SETTINGS.values() if setting.flag],
    [setting.former for setting in SETTINGS.values() if setting.former],
  ):
    assert len(set(names)) == len(names)


def test_former_name_is_not_a_setting():
  assert not {setting.former for setting in SETTINGS.values()} & set(SETTINGS)


def test_accepted_values_are_described():
  assert Setting(1, "", above=0, at_most=3).accepts() == "above 0, 3 or less"
  assert Setting("a", "", choices=("a", "b")).accepts() == "a, b"
  assert Setting((), "", lengths=True).accepts() == "whole numbers, 1 or more"
  assert Setting("a", "").accepts() == ""


def test_page_equals_the_generated_text():
  assert PAGE.read_text() == page(), (
    "Run: python -m attention_lab.settings.page > docs/guides/settings.md"
  )


def test_page_has_each_section_and_setting_once():
  text = page()
  for key in SETTINGS:
    assert text.count(f"| `{key}` |") == 1
    assert text.count(f"## {key.rpartition('.')[0] or 'General'}\n") == 1
