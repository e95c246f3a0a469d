"""Parallel text from two files a split to translations, their scores and their maps."""

import json

import numpy as np
import pytest
from PIL import Image

from attention_lab.compare import plan
from attention_lab.compare.analysis.measures import figures
from attention_lab.errors import UserError
from attention_lab.mode import evaluate, sample, train
from tests.corpus import write_corpus
from tests.parts import tiny_config

SPEC = (
  "parallel_text(source='{split}.en', target='{split}.de', vocabulary_size=300, "
  "sequence_length=24, buckets=1)"
)


@pytest.fixture(scope="module")
def translating(tmp_path_factory):
  """A run that has trained a little and scored its answers, and its configuration."""
  pytest.importorskip("sacrebleu")
  folder = tmp_path_factory.mktemp("translating")
  write_corpus(folder)
  config = tiny_config(
    architecture__name="encoder_decoder",
    position="sinusoidal",
    dataset=SPEC,
    data_dir=str(folder),
    model__num_layers=1,
    log__tensorboard=False,
    sample__beam_size=2,
    evaluation__scores=True,
  )
  assert train.run(config, str(folder / "run")) == 0
  return folder, config


def changed(config, **sample):
  """The configuration with other settings of its samples."""
  config = config.copy_and_resolve_references()
  config.sample.update(sample)
  return config


def test_the_run_keeps_its_vocabulary(translating):
  folder, _ = translating
  assert (folder / "run" / "vocabulary.model").stat().st_size > 1000
  summary = json.loads((folder / "run" / "summary.json").read_text())
  assert 0 < summary["validation"]["loss"] < 10


def test_each_line_is_answered_with_one(translating, capsys):
  folder, config = translating
  lines = folder / "few.en"
  lines.write_text("\n".join((folder / "valid.en").read_text().splitlines()[:3]) + "\n")
  assert sample.run(changed(config, input_file=str(lines)), str(folder / "run")) == 0
  assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_evaluation_has_scores_that_sacrebleu_repeats(translating, capsys):
  import sacrebleu

  folder, config = translating
  assert evaluate.run(config, str(folder / "run")) == 0
  found = json.loads((folder / "run" / "evaluation.json").read_text())["validation"]
  hypotheses = (folder / "run" / "translations.validation.txt").read_text().splitlines()
  references = (folder / "valid.de").read_text().splitlines()
  expected = sacrebleu.corpus_bleu(hypotheses, [references]).score
  assert found["bleu"]["value"] == pytest.approx(expected)
  assert "version:" in found["chrf"]["signature"]
  assert found["bleu"]["signature"] in capsys.readouterr().out
  summary = json.loads((folder / "run" / "summary.json").read_text())["validation"]
  assert (
    summary["bleu"] == found["bleu"]
  )  # Of the same parameters, when training ended.
  assert figures({**summary, "leak_check": "passed"})["bleu"] == found["bleu"]["value"]
  (row, _) = plan.make(compared(config), folder / "compared").rows
  assert row.config.evaluation.scores


def compared(config):
  """Two rows that differ in the rate, which say nothing of scores."""
  config = config.copy_and_resolve_references()
  config.evaluation.scores = False
  config.compare.grid = (("train.learning_rate", (1e-3, 2e-3)),)
  return config


def test_scores_are_refused_where_there_is_nothing_to_score(tmp_path):
  config = tiny_config(evaluation__scores=True)
  with pytest.raises(
    UserError, match="has no sentences whose translations could be scored"
  ):
    train.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_maps_are_drawn_of_each_line(translating, capsys):
  folder, config = translating
  lines = folder / "two.en"
  lines.write_text("\n".join((folder / "valid.en").read_text().splitlines()[:2]) + "\n")
  drawn = changed(config, input_file=str(lines), maps=True)
  assert sample.run(drawn, str(folder / "run")) == 0
  assert "Attention maps in" in capsys.readouterr().err
  names = {path.name for path in (folder / "run" / "maps").iterdir()}
  places = ("encoder", "decoder", "cross")
  assert names == {f"{line}-{place}.png" for line in (1, 2) for place in places}
  with Image.open(folder / "run" / "maps" / "1-cross.png") as image:
    assert len(np.unique(np.asarray(image.convert("L")))) > 20  # Not an empty page.
