"""A run of a prefix language model: training by command, its metrics, sampling, the API."""

import contextlib
import io
import json

import jax
import numpy as np
import pytest

import attention_lab as al
from attention_lab import config as configs
from attention_lab.errors import UserError
from attention_lab.mode import evaluate, sample, train
from attention_lab.run import folder as run_folder
from tests.commands import TINY, assert_refused
from tests.parts import tiny_config

LENGTH, PREFIX = 8, 5
TEXT = "to be or not to be, that is the question – ay. " * 20


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A run with the leak checks, in whose text a character has three bytes."""
  folder = tmp_path_factory.mktemp("text")
  (folder / "text.txt").write_text(TEXT)
  config = tiny_config(
    architecture__name=f"decoder_only(prefix={PREFIX})",
    dataset=f"text(path='text.txt', sequence_length={LENGTH})",
    data_dir=str(folder),
    steps=4,
    evaluation__every=2,
    evaluation__extra_lengths=(12,),
    model__num_layers=1,
    log__tensorboard=False,
    skip_checks=False,
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("XDG_CACHE_HOME", str(folder))
    patch.setattr(train, "all_devices", lambda: jax.local_devices()[:1])
    with contextlib.redirect_stdout(io.StringIO()):
      assert train.run(config, str(folder / "run")) == 0
  return folder / "run"


@pytest.fixture(scope="module")
def model(run):
  return al.load(run)


def stored(run):
  return configs.from_stored(run_folder.stored_config(run))


def test_losses_and_bits_per_byte_are_those_of_the_targets_behind_the_prefix(
  run, model
):
  """Recomputed from the logits, for the whole validation split."""
  summary = json.loads((run / "summary.json").read_text())
  assert summary["leak_check"] == "passed"
  dataset = model.experiment.dataset
  batch = dataset.examples("validation", 0, np.arange(dataset.size("validation")))
  logits = np.asarray(model.logits(batch.inputs), np.float64)
  scores = np.take_along_axis(logits, batch.targets[..., None], axis=-1)[..., 0]
  losses = np.log(np.exp(logits).sum(axis=-1)) - scores
  counts = (batch.weights > 0) & (np.arange(LENGTH) + 1 >= PREFIX)
  text = "".join(model.decode([token]) for token in batch.targets[counts])
  nats, size, count = losses[counts].sum(), len(text.encode()), counts.sum()
  found = summary["validation"]
  np.testing.assert_allclose(found["loss"], nats / count, rtol=1e-5)
  np.testing.assert_allclose(found["bits_per_byte"], nats / size / np.log(2), rtol=1e-5)
  assert evaluate.run(stored(run), str(run)) == 0
  evaluated = json.loads((run / "evaluation.json").read_text())["validation"]
  assert evaluated["loss"] == pytest.approx(found["loss"], rel=1e-6)
  assert "word_perplexity" not in evaluated


def test_texts_and_weights_of_prompts_with_a_whole_prefix(run, model, capsys):
  config = stored(run)
  config.sample.length = 20  # The context is renewed.
  assert sample.run(config, str(run)) == 0
  prompt, _, text = capsys.readouterr().out.removeprefix("[").partition("]")
  assert (len(prompt), len(text.rstrip("\n"))) == (PREFIX, 20)
  weights = model.attention_weights("to be or").maps[0].layers[1]
  assert (weights[:, 0, :PREFIX] > 0).all()
  assert not weights[:, 0, PREFIX:].any()
  with pytest.raises(UserError, match="has 2 tokens, .* first 5 .* Give 5 tokens"):
    model.generate("to")


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (["--prompt=ab"], "--prompt has 2 tokens"),
    (["--config.evaluation.extra_lengths=(4,16)"], "of 4 tokens none follows"),
    (["--attention=linear"], "The attention 'linear' does not honour a prefix"),
  ],
)
def test_training_refuses_what_a_prefix_forbids(words, message, command, tmp_path):
  architecture = "--architecture=decoder_only(prefix=4)"
  result = command(*TINY, architecture, f"--workdir={tmp_path}/run", *words)
  assert_refused(result, message)
  assert not (tmp_path / "run").exists()
