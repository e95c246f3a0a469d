"""attention_lab.benchmark times attentions in this process."""

import dataclasses
import json
import re

import pytest

import attention_lab as al
from attention_lab.errors import UserError
from tests.api.cells import MINE, define
from tests.api.state import found_state

SMALL = {
  "lengths": (4, 8),
  "benchmark__rounds": 2,
  "benchmark__step": False,
  "model__d_model": 8,
  "model__num_heads": 2,
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
  folder = tmp_path_factory.mktemp("benchmark")
  return al.benchmark(define(MINE), workdir=folder, **SMALL), folder


def test_a_class_of_a_cell_is_timed(found):
  result, folder = found
  assert {(t.attention, t.kind, t.length) for t in result.timings} == {
    ("my_attention", kind, length)
    for kind in ("forward", "gradient", "decode")
    for length in (4, 8)
  }
  for timing in result.timings:
    low, high = timing.seconds_quartiles
    assert 0 < low <= timing.seconds <= high
  assert {path.name for path in folder.iterdir()} == {
    "benchmark.json",
    "benchmark.png",
  }
  written = json.loads((folder / "benchmark.json").read_text())
  assert len(written["records"]) == len(result.timings)


def test_results_are_text_table_and_figure(found):
  result, _ = found
  assert str(result).startswith("my_attention, forward: time grows as T^")
  assert result._repr_html_().count("<tr>") == 1 + len(result.timings)
  names = [line.get_label() for line in result.plot().axes[0].lines]
  assert names == ["my_attention"]


def test_times_at_a_single_length_are_text_too(found):
  result = dataclasses.replace(found[0], sentences=())
  assert re.match(r"my_attention, forward, 4 tokens: [\d.e-]+ ms\n", str(result))
  assert "<ul>" not in result._repr_html_()
  assert repr(result) == str(result)


@pytest.mark.parametrize(
  ("names", "settings", "message"),
  [
    ([], {}, "Name an attention"),
    (["standrad"], {}, "Did you mean 'standard'"),
    (["standard"], {"lengths": (0,)}, "lengths=(0,): take whole numbers of 1 or more"),
    (["standard"], {"seeds_": 3}, "Did you mean 'seeds'"),
    (["standard"], {"sample__length": 3}, "sample__length=3 has no effect here"),
    ([3], {}, "benchmark takes names and subclasses of attention_lab.Attention, not 3"),
  ],
)
def test_mistakes_are_refused_and_leave_the_process_as_it_was(names, settings, message):
  before = found_state()
  with pytest.raises(UserError) as error:
    al.benchmark(*names, **settings)
  assert message in str(error.value)
  assert found_state() == before
