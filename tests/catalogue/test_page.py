"""Every registered component has a page, which says what its code says."""

import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.block.base import options as model_options
from attention_lab.catalogue import costs
from attention_lab.catalogue.attention import facts, state_bytes, usable_positions
from attention_lab.catalogue.docstring import describe
from attention_lab.catalogue.example import settings
from attention_lab.catalogue.markdown import prose, table
from attention_lab.catalogue.option import options
from attention_lab.catalogue.page import Sources, pages
from attention_lab.config import get_config, set_text
from attention_lab.experiment import assemble
from attention_lab.plugin.registry import REGISTRIES
from tests.parts import tiny_config

MODEL = model_options.from_config(get_config().model.to_dict())
STORED = costs.read()


@pytest.fixture(scope="module")
def made():
  """Return all pages, by path."""
  return dict(pages(Sources(MODEL, STORED, {}, {})))


def own(registry):
  return [
    name for name in registry if registry[name].__module__.startswith("attention_lab.")
  ]


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda each: each.kind)
def test_every_component_has_a_page_and_stands_in_the_index(made, registry):
  index = made[f"{registry.kind}/index.md"]
  for name in own(registry):
    text = made[f"{registry.kind}/{name}.md"]
    about = describe(registry[name])
    assert text.startswith(f"# {name}\n\n{prose(about.heading)}")
    assert f"[`{name}`]({name}.md)" in index
    assert all(prose(each) in text for each in about.departures)
    for option in options(registry, name):
      assert f"| `{option.name}` |" in text


def test_the_page_of_an_attention_has_every_section(made):
  for name in own(attentions):
    text = made[f"attention/{name}.md"]
    for section in ("Use", "Options", "Properties", "Cost", "Laws"):
      assert f"\n## {section}\n" in text, name
    assert '<div class="equation">' in text


def test_state_bytes_are_those_of_the_arrays():
  assert state_bytes("standard", [8, 16], MODEL) == [
    2 * 8 * MODEL.d_model * 4 + 8 * 4 + 4,
    2 * 16 * MODEL.d_model * 4 + 16 * 4 + 4,
  ]
  memory = 4 * MODEL.num_heads * (MODEL.key_size**2 + 1)
  assert state_bytes("retention", [8, 4096], MODEL) == [memory, memory]


def test_facts_follow_kinds_and_claims():
  found = facts("linformer", MODEL)
  assert (found.kinds, found.state_bytes) == (("bidirectional", "cross"), {})
  assert "decoding equals the full pass" not in found.laws
  assert "cross-attention reads its context" in found.laws
  assert "time and memory grow linearly" in facts("linear", MODEL).laws


def test_only_positions_that_assembly_accepts_are_named():
  assert usable_positions("cosformer") == ("learned", "none", "sinusoidal")
  assert "alibi" not in usable_positions("linear")
  assert "alibi" in usable_positions("selective")
  assert len(usable_positions("standard")) == 10


@pytest.mark.parametrize(
  ("registry", "name"),
  [
    (registry, name)
    for registry in REGISTRIES
    for name in own(registry)
    if settings(registry, name) and name not in ("python_docs", "shakespeare")
  ],
)
def test_the_command_of_a_page_is_accepted(registry, name):
  config = tiny_config(dataset="copy(sequence_length=8, validation_examples=8)")
  for flag, value in settings(registry, name).items():
    key = (
      "architecture.name" if flag == "architecture" else flag.removeprefix("config.")
    )
    set_text(config, key, value)
  assert assemble(config)


def test_costs_are_read_and_compared_with_the_first_attention(tmp_path):
  path = tmp_path / "costs.json"
  path.write_text(
    '[{"command": "c", "machine": "m", "records": ['
    '{"attention": "a", "length": 8, "kind": "forward", "seconds": 2.0},'
    '{"attention": "b", "length": 8, "kind": "forward", "seconds": 3.0},'
    '{"attention": "b", "length": 9, "kind": "forward", "seconds": null}]}]'
  )
  (measured,) = costs.read(path)
  assert measured.baseline == "a"
  assert measured.costs["b"] == [costs.Cost(8, "forward", 3.0, 1.5)]
  assert costs.of_attention("b", [measured]) is measured
  assert costs.of_attention("c", [measured]) is None


def test_every_attention_has_a_stored_cost():
  assert {name for each in STORED for name in each.costs} == set(own(attentions))


def test_markup_in_docstrings_is_escaped_outside_of_code():
  assert prose("a*b `c*d` |x| arXiv:1234.56789") == (
    r"a\*b `c*d` \|x\| [arXiv:1234.56789](https://arxiv.org/abs/1234.56789)"
  )


def test_a_table_has_a_row_per_item():
  assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
  assert ":class: x" in table(("a",), [("1",)], "x")
