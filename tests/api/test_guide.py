"""The snippets of docs/guides/python_api.md run, with small sizes."""

import importlib
import re
import sys

import pytest

from attention_lab import config as configs
from attention_lab.api.comparing import configuration
from attention_lab.attention.base.attention import attentions
from attention_lab.config import set_value
from tests.api import lm_eval_stub
from tests.api.cells import RUN
from tests.commands import ROOT

GUIDE = ROOT / "docs" / "guides" / "python_api.md"
# Settings of the guide → those of this test.
SMALL = {
  "steps=300": "steps=4",
  '"copy"': '"copy(sequence_length=8, validation_examples=8)"',
  "(16, 64)": "(2, 4)",
  "lengths[64]": "lengths[4]",
  "lengths=(64, 128), benchmark__step=False": "lengths=(4,), benchmark__step=False",
  'depth="quick"': 'depth="quick", progress=False',
}


@pytest.fixture
def defaults(monkeypatch):
  """Make the sizes of tests the defaults."""
  original = configs.get_config

  def get_config():
    config = original()
    for word, value in {**RUN, "benchmark__rounds": 1, "sample__length": 300}.items():
      if word not in ("steps", "dataset"):
        set_value(config, word.replace("__", "."), value)
    return config

  monkeypatch.setattr(configs, "get_config", get_config)


def test_the_snippets_of_the_guide_run(call, defaults, tmp_path, monkeypatch, capsys):
  """A comparison and a check, which have tests of their own, are not run anew."""

  def compare(first, cls, **settings):
    with attentions.registered(cls) as name:
      configuration([first, name], settings)
    return call.report

  check = importlib.import_module("attention_lab.api.check")
  monkeypatch.setattr(check.laws, "LAWS", check.laws.LAWS[-3:-2])
  api = importlib.import_module("attention_lab.api.compare")
  monkeypatch.setattr(api, "compare", compare)
  monkeypatch.chdir(tmp_path)
  for name, module in lm_eval_stub.modules().items():
    monkeypatch.setitem(sys.modules, name, module)
  text = GUIDE.read_text()
  for old, new in SMALL.items():
    assert old in text, old
    text = text.replace(old, new)
  names = {"__name__": "guide"}
  for number, code in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL)):
    exec(compile(code, f"<snippet {number}>", "exec"), names)
  assert names["relu"].step == 4
  assert names["logits"].shape == (4, 9)
  assert len(names["longer"].lengths) == 2
  assert names["scores"]["results"]["answers"]["log_probability"] < 0
  sys.modules.pop("attention_lab.api.harness_model")  # It has the stand-in as its base.
  assert "my_attention: " in capsys.readouterr().out
