"""--mode=list shows every component with its source, or one of them in full."""

import re

import pytest

from attention_lab.attention.base.attention import KINDS, attentions
from attention_lab.catalogue.attention import claims
from attention_lab.catalogue.docstring import describe
from attention_lab.catalogue.option import options
from attention_lab.plugin.registry import REGISTRIES
from attention_lab.position.base.position import positions


@pytest.fixture
def shown(command, monkeypatch):
  """Return a function from flags to what is printed."""

  def run(*words):
    monkeypatch.setenv("COLUMNS", "250")
    status, out, err = command("--mode=list", *words)
    assert (status, err) == (0, "")
    return out

  return run


def test_every_component_is_shown(shown):
  out = shown()
  for registry in REGISTRIES:
    for name in registry:
      assert f" {name} " in out
      assert describe(registry[name]).heading[:30] in out
      for option in options(registry, name):
        assert (f"{option.name}=" if option.default else option.name) in out


def test_kinds_and_costs_of_every_attention_are_in_a_table(shown):
  table = shown().partition("attention: kinds and costs")[2]
  for name in attentions:
    kinds, *costs = claims(name)
    expected = [*(kind in kinds for kind in KINDS), *costs]
    (row,) = re.findall(rf"^ {name} +(.*)$", table, re.MULTILINE)
    assert [mark == "yes" for mark in row.split()] == expected


def test_one_attention_is_shown_in_full(shown):
  out = shown("--attention=forgetting")
  assert out.startswith("attention forgetting\nForgetting attention")
  assert "https://arxiv.org/abs/2503.02130" in out
  assert "D_ij = Σ_{l=j+1}^i log f_l" in out
  assert "Heads of keys and values; None for num_heads." in out
  assert "state at 1,024 tokens   544,788 bytes per sequence and layer" in out
  assert "- Only -c_j is added to the scores" in out
  assert re.search(r"time at 512 tokens +forward [\d.]+, gradient [\d.]+, decode", out)
  assert "talking_heads" not in out


def test_options_and_the_model_change_what_is_shown(shown):
  window = shown("--attention=sliding_window(window=64)")
  assert "state at 1,024 tokens   32,508 bytes" in window
  smaller = "--config.model.d_model=32"
  assert "16,380 bytes" in shown("--attention=sliding_window(window=64)", smaller)


def test_other_components_are_shown_in_full(shown):
  out = shown("--position=xpos", "--dataset=listops", "--architecture=encoder")
  for line in ("position xpos", "dataset listops", "architecture encoder"):
    assert f"{line}\n" in out
  assert "properties" not in out


@pytest.mark.parametrize(
  "setting",
  [
    "model.block=parallel",
    "model.norm_layer=rms_norm",
    "train.optimizer=muon",
    "train.schedule=warmup_stable_decay(decay=0.1)",
  ],
)
def test_a_component_without_a_flag_is_shown_in_full(shown, setting):
  out = shown(f"--config.{setting}")
  spec = setting.partition("=")[2]
  assert re.match(rf"(block|norm|optimizer|schedule) {re.escape(spec)}\n", out)
  assert "equation\n" in out
  assert "standard" not in out


def test_an_unknown_name_is_refused_before_anything_is_printed(command):
  status, out, err = command("--mode=list", "--position=rope", "--dataset=copi")
  assert (status, out) == (2, "")
  assert err == "error: 'copi' is not a dataset. Did you mean 'copy'?\n"


def test_every_attention_and_position_names_its_source():
  for registry in (attentions, positions):
    for name in registry:
      assert re.search("arXiv:|no paper", describe(registry[name]).heading), name
