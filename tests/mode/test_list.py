"""--mode=list shows every part with its source and options."""

import re

from attention_lab.mode import list as list_mode
from tests.parts import tiny_config


def test_every_part_is_shown(capsys, monkeypatch):
  monkeypatch.setenv("COLUMNS", "250")
  assert list_mode.run(tiny_config(), None) == 0
  shown = capsys.readouterr().out
  for registry in list_mode.REGISTRIES:
    for name in registry:
      assert f" {name} " in shown
      assert list_mode.describe(registry[name])[:30] in shown
      for option, parameter in registry.options(name).items():
        text = option if parameter.default is parameter.empty else f"{option}="
        assert text in shown


def test_every_attention_and_position_names_its_source():
  for registry in list_mode.REGISTRIES[:2]:
    for name in registry:
      assert re.search("arXiv:|no paper", list_mode.describe(registry[name])), name
