"""The comparisons in experiments/ can be planned, and have the documented rows."""

import pytest

from attention_lab import config as configs
from attention_lab import main
from attention_lab.compare import grid, plan
from attention_lab.compare.analysis.pairs import compared
from attention_lab.compare.collect import collect
from attention_lab.settings import flags as command_line
from attention_lab.training import preflight
from tests.commands import ROOT
from tests.parts import count

FOLDER = ROOT / "experiments"
PARAMETERS = {
  "standard": 189_633,
  "standard, d_ff 320": 222_401,
  "selective": 222_401,
  "standard, no positions": 189_633,
  "selective, no positions": 222_401,
  "equinox, no positions": 206_017,
}
TINY = ["--batch_size=4", "--config.model.num_layers=1"]


@pytest.fixture
def read(shakespeare, own_flags):
  """Return a function that reads the configuration of a comparison, with flags."""

  def config(name, *words):
    words = [f"--config={FOLDER / name}.py", f"--data_dir={shakespeare}", *words]
    return main.read_config(command_line.parse(["main", "--mode=compare", *words]))

  return config


BY_RULE = {
  "selective_attention": {
    "standard": (),
    "standard, d_ff 320": ("standard",),
    "selective": ("standard", "standard, d_ff 320"),
    "standard, no positions": (),
    "selective, no positions": ("standard, no positions",),
    "equinox, no positions": ("standard, no positions",),
  },
  "recall": {
    f"{attention}, d_model {width}": (
      () if attention == "standard" else (f"standard, d_model {width}",)
    )
    for attention in (
      *("standard", "sliding_window(window=16)", "linear", "based", "retention"),
      *("delta_net", "gated_delta_net"),
    )
    for width in (32, 64)
  },
  "length_generalisation": {
    f"standard, {position}": () if position == "none" else ("standard, none",)
    for position in (
      *("none", "sinusoidal", "rope", "alibi", "t5", "fire"),
      "randomized(of='rope', longest=128)",
    )
  },
}


@pytest.mark.parametrize("name", BY_RULE)
def test_a_comparison_can_be_planned_and_each_row_has_its_baseline(
  name, read, tmp_path, monkeypatch
):
  """The leak check, which takes seconds for each row, has tests of its own."""
  monkeypatch.setattr(preflight, "_check_leaks", lambda *_: ("skipped", True))
  planned = plan.make(read(name, *TINY), tmp_path / "compared")
  assert compared(collect(planned, "")) == BY_RULE[name]


def test_every_row_has_the_documented_size(read):
  rows = grid.rows(read("selective_attention"))
  assert {row.name: count(row.config) for row in rows} == PARAMETERS


def test_rows_differ_only_in_compared_settings(read):
  """All else is that of shakespeare_gpt.py, with the steps of the command."""
  base = configs.load_file(str(FOLDER / "shakespeare_gpt.py"))
  changed = {
    row.name: set(configs.differences(base, row.config))
    for row in grid.rows(read("selective_attention", "--steps=9"))
  }
  assert changed == {
    "standard": {"steps", "train.data_order"},
    "standard, d_ff 320": {"steps", "train.data_order", "model.d_ff"},
    "selective": {"steps", "train.data_order", "attention"},
    "standard, no positions": {"steps", "train.data_order", "position"},
    "selective, no positions": {"steps", "train.data_order", "attention", "position"},
    "equinox, no positions": {"steps", "train.data_order", "attention", "position"},
  }


@pytest.mark.parametrize(
  ("attention", "parameters"), [("selective_naive", 222_401), ("haiku", 206_017)]
)
def test_equivalent_attentions_have_equal_size(shakespeare, attention, parameters):
  config = configs.load_file(str(FOLDER / "shakespeare_gpt.py"))
  config.update(attention=attention, position="none", data_dir=shakespeare)
  assert count(config) == parameters


def test_every_comparison_of_the_folder_is_planned():
  files = {path.stem: path.read_text("utf-8") for path in FOLDER.glob("*.py")}
  assert {name for name, text in files.items() if "config.compare" in text} == set(
    BY_RULE
  )
