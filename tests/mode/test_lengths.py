"""Validation at other lengths, and the loss above the lowest possible one."""

import json

import pytest

from attention_lab.dataset.base.dataset import datasets
from attention_lab.dataset.base.generated import Generated
from attention_lab.distributed.devices import local_devices, replicate
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.mode import evaluate as evaluate_mode
from attention_lab.mode import sample, train
from attention_lab.run.restore import restore_params
from attention_lab.training.evaluation import evaluate
from attention_lab.update import make_evaluate
from tests.parts import tiny_config

QUIET = {"log__tensorboard": False, "model__num_layers": 1, "steps": 1}


def best_loss(monkeypatch, value):
  monkeypatch.setattr(Generated, "best_loss", property(lambda self: value))


def test_other_lengths_are_reported(tmp_path, capsys, monkeypatch):
  best_loss(monkeypatch, 0.25)
  config = tiny_config(evaluation__extra_lengths=(4, 8, 12), **QUIET)
  folder = tmp_path / "run"
  assert train.run(config, str(folder)) == 0
  printed = capsys.readouterr().out
  summary = json.loads((folder / "summary.json").read_text())

  # The training length gives the same metrics; other lengths those of their dataset.
  assert list(summary["lengths"]) == ["4", "8", "12"]
  assert summary["lengths"]["8"] == summary["validation"]
  experiment = assemble(config)
  params = restore_params(experiment, folder).params
  longer = datasets.bind("copy(sequence_length=12, validation_examples=8)")(data_dir="")
  devices = local_devices()
  run = make_evaluate(experiment.measure, devices)
  expected = evaluate(run, replicate(params, devices), longer, "validation", 8, devices)
  assert summary["lengths"]["12"] == pytest.approx(expected, rel=1e-6)
  for length, metrics in summary["lengths"].items():
    assert f"{'length ' + length:>10}: loss {metrics['loss']:.4f} nats" in printed

  above = summary["validation"]["loss"] - 0.25
  assert summary["above_best"] == pytest.approx(above)
  assert f", {above:.4f} nats above the best possible\n" in printed

  config.evaluation.extra_lengths = (12,)
  assert evaluate_mode.run(config, str(folder)) == 0
  evaluation = json.loads((folder / "evaluation.json").read_text())
  assert evaluation["lengths"] == {"12": summary["lengths"]["12"]}
  assert "step 1  length 12: loss " in capsys.readouterr().out


def test_numbers_are_tokens_and_a_prompt_may_fill_all_positions(
  tmp_path, capsys, monkeypatch
):
  best_loss(monkeypatch, None)
  options = "sequence_length=8, vocabulary_size=12, pairs=1, validation_examples=8"
  config = tiny_config(
    dataset=f"associative_recall({options})",
    position="learned",
    sample__prompt="1 11 2 10 3 9 4 8",
    sample__length=1,
    **QUIET,
  )
  assert train.run(config, str(tmp_path / "run")) == 0
  printed = capsys.readouterr().out
  assert "above the best" not in printed
  summary = json.loads((tmp_path / "run" / "summary.json").read_text())
  assert "above_best" not in summary
  assert "lengths" not in summary
  assert sample.run(config, str(tmp_path / "run")) == 0
  text = capsys.readouterr().out
  assert text.startswith("[1 11 2 10 3 9 4 8] ")
  assert 0 <= int(text.split(" ")[-1]) < 12


@pytest.mark.parametrize(
  ("changes", "answer"),
  [
    ({"position": "learned", "lengths": (4, 9)}, "9 tokens need more than the 8 pos"),
    ({"lengths": (4, 9)}, r"copy\(sequence_length=9\): take an even number"),
  ],
)
def test_impossible_length_is_rejected_before_anything_is_written(
  changes, answer, tmp_path
):
  config = tiny_config(**QUIET)
  config.evaluation.extra_lengths = changes["lengths"]
  config.position = changes.get("position", "none")
  with pytest.raises(UserError, match=f"^--config.evaluation.extra_lengths: {answer}"):
    train.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()
