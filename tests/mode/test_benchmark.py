"""--mode=benchmark, over tiny lengths."""

import importlib.util
import json

import pytest

from attention_lab import config as configs
from attention_lab.benchmark import measure
from attention_lab.errors import UserError
from attention_lab.mode import benchmark
from tests.parts import tiny_config

SMALL = {"benchmark__sequence_lengths": (4, 8), "benchmark__rounds": 2}


def run(folder, **changes):
  config = tiny_config(**{**SMALL, "attention": "standard,sigmoid", **changes})
  assert benchmark.run(config, str(folder)) == 0
  return json.loads((folder / "benchmark.json").read_text())


@pytest.fixture(scope="module")
def result(tmp_path_factory):
  return run(tmp_path_factory.mktemp("benchmark"))


def test_every_attention_has_a_record_of_every_kind_at_every_length(result):
  found = {(r["attention"], r["kind"], r["length"]) for r in result["records"]}
  kinds = ("forward", "gradient", "decode")
  assert found == {
    (name, kind, length)
    for name in ("standard", "sigmoid")
    for kind, length in [*((k, n) for k in kinds for n in (4, 8)), ("step", 8)]
  }
  for record in result["records"]:
    low, high = record["seconds_quartiles"]
    assert 0 < low <= record["seconds"] <= high
    assert record["tokens_per_second"] > 0


def test_alone_memory_and_flops_are_told_too(result):
  alone = [r for r in result["records"] if r["kind"] != "step"]
  assert all(r["matmul_flops"] > 0 and r["memory_bytes"] >= 0 for r in alone)
  assert all(r["utilisation"] > 0 for r in alone)
  steps = {r["attention"]: r for r in result["records"] if r["kind"] == "step"}
  assert steps["standard"]["ratio_to_first"] == 1
  assert steps["sigmoid"]["ratio_to_first"] > 0


def test_trends_are_fitted(result):
  assert len(result["trends"]) == 2 * 3
  assert {"time_exponent", "memory_exponent"} < set(result["trends"][0])


def test_where_it_came_from_is_kept(result):
  assert result["config"]["attention"] == "standard,sigmoid"
  assert result["versions"]["jax"]
  assert result["matmul_flops_per_second"] > 0


def test_what_does_not_fit_is_told_and_not_run(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(measure, "fits", lambda memory: False)
  result = run(tmp_path, benchmark__step=False, attention="standard")
  assert all(record["seconds"] is None for record in result["records"])
  assert "does not fit" in capsys.readouterr().out


def test_without_matplotlib_the_figure_is_left_out(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  run(
    tmp_path,
    benchmark__step=False,
    attention="standard",
    benchmark__sequence_lengths=(4,),
  )
  assert not (tmp_path / "benchmark.png").exists()
  assert "pip install matplotlib" in capsys.readouterr().out


def test_the_figure_is_a_png(tmp_path):
  pytest.importorskip("matplotlib")
  run(tmp_path, benchmark__step=False, attention="standard")
  assert (tmp_path / "benchmark.png").read_bytes().startswith(b"\x89PNG")


def read(text):
  config = configs.get_config()
  configs.set_text(config, "benchmark.sequence_lengths", text)
  configs.validate(config)
  return config.benchmark.sequence_lengths


@pytest.mark.parametrize("text", ["0", "128,-1", "1.5", "128,x"])
def test_lengths_that_are_none_are_refused(text):
  with pytest.raises(UserError, match="lengths"):
    read(text)


@pytest.mark.parametrize(("text", "lengths"), [("64", (64,)), ("64,128", (64, 128))])
def test_lengths_are_read(text, lengths):
  assert read(text) == lengths
