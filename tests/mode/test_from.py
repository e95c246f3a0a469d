"""A new run starts from the parameters of another run, and resumes without it."""

import hashlib
import json
import shutil
import signal

import jax
import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.mode import train
from attention_lab.run import branch
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary
from attention_lab.training import loop
from tests import commands
from tests.parts import tiny_config

COPY = "copy(sequence_length=8, validation_examples=8{})"
QUIET = {"log__tensorboard": False, "model__num_layers": 1}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  """A run of four steps."""
  folder = tmp_path_factory.mktemp("runs") / "source"
  assert train.run(tiny_config(dataset=COPY.format(""), **QUIET), str(folder)) == 0
  return folder


def first_checkpoint(folder):
  path = next((folder / "checkpoints").glob("000000000-*.npz"))
  with np.load(path) as arrays:
    return {name: arrays[name] for name in arrays if name != "meta.json"}


def stop_at_once(monkeypatch):
  """Send a signal before the first step."""

  def stopped(*arguments):
    signal.raise_signal(signal.SIGTERM)
    return iter(())

  monkeypatch.setattr(loop, "advance", stopped)


def killed(*arguments):
  raise KeyboardInterrupt


@pytest.mark.parametrize("optimizer", ["fresh", "kept"])
def test_a_run_starts_from_the_parameters_of_another(
  source, optimizer, tmp_path, monkeypatch, command
):
  stop_at_once(monkeypatch)
  folder = tmp_path / "run"
  words = [f"--from={source}", f"--workdir={folder}", "--seed=3"]
  words += ["--position=rope(scaling='yarn', factor=2.0)", "--steps=2"]
  status, _, err = command(*words, f"--config.train.from_optimizer={optimizer}")
  assert (status, err) == (128 + signal.SIGTERM, "")
  trained, first = commands.last_checkpoint(source), first_checkpoint(folder)
  assert first[".step"] == 0
  assert not np.array_equal(first[".key"], trained[".key"])
  counts = [name for name in first if name.endswith(".count")]
  for name, array in first.items():
    if name.startswith(".params"):
      np.testing.assert_array_equal(array, trained[name])
    elif ".mu" in name or ".nu" in name:
      assert np.array_equal(array, trained[name]) == (optimizer == "kept"), name
  # That of Adam corrects its means; that of the schedule begins anew.
  expected = [0, 4] if optimizer == "kept" else [0, 0]
  assert sorted(int(first[name]) for name in counts) == expected
  # All other settings are those of the run it starts from.
  stored = json.loads((folder / "config.json").read_text())
  assert (stored["config"]["seed"], stored["config"]["model"]["d_model"]) == (3, 8)


def test_it_resumes_bit_for_bit_without_the_other_run(
  source, tmp_path, monkeypatch, command
):
  copy, interrupted, whole = (tmp_path / x for x in ("copy", "interrupted", "whole"))
  shutil.copytree(source, copy)
  assert command(f"--from={copy}", f"--workdir={whole}", "--seed=3")[0] == 0
  with monkeypatch.context() as patch:  # It is killed before any step.
    patch.setattr(loop, "advance", killed)
    with pytest.raises(KeyboardInterrupt):
      command(f"--from={copy}", f"--workdir={interrupted}", "--seed=3")
  [checkpoint] = (copy / "checkpoints").iterdir()
  digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
  shutil.rmtree(copy)
  assert command(f"--workdir={interrupted}")[0] == 0
  assert commands.records(interrupted) == commands.records(whole)
  arrays = map(commands.last_checkpoint, (interrupted, whole))
  jax.tree.map(np.testing.assert_array_equal, *arrays)
  for folder in (interrupted, whole):
    provenance = json.loads((folder / "config.json").read_text())["provenance"]
    assert provenance["from"] == {
      "folder": str(copy),
      "step": 4,
      "checkpoint": checkpoint.name,
      "sha256": digest,
    }
  other = command(f"--workdir={interrupted}", "--from=elsewhere")
  commands.assert_refused(other, "train.start_from:")


@pytest.mark.parametrize(
  ("word", "answer"),
  [
    ("--config.model.d_model=16", "is of another model: .params"),
    ("--config.model.num_layers=2", "is of another model: "),
    (
      "--dataset=copy(sequence_length=8, alphabet=4)",
      "the first that differs is token",
    ),
  ],
)
def test_other_shapes_and_vocabularies_are_refused_by_name(
  source, tmp_path, command, word, answer
):
  result = command(f"--from={source}", f"--workdir={tmp_path / 'run'}", word)
  commands.assert_refused(result, f"--from={source}: ")
  commands.assert_refused(result, answer)
  assert not (tmp_path / "run").exists()


def test_a_vocabulary_of_the_same_size_is_refused_with_the_token():
  vocabularies = map(CharacterVocabulary, ("abc", "abd"))
  with pytest.raises(UserError, match="with 3 tokens, .* token 2: 'c' there, 'd' here"):
    branch.refuse_other_vocabulary("It was trained", *vocabularies)


def test_a_folder_without_a_run_is_refused(tmp_path, command):
  commands.assert_refused(command(f"--from={tmp_path}"), "there is no run in this")


def test_seeds_and_comparisons_start_from_it(source, tmp_path):
  from attention_lab.compare import grid

  config = tiny_config(
    dataset=COPY.format(""), train__start_from=str(source), seeds=2, **QUIET
  )
  assert train.run(config, str(tmp_path / "run")) == 0
  trained = commands.last_checkpoint(source)
  for seed in (0, 1):
    first = first_checkpoint(tmp_path / "run" / f"seed{seed}")
    for name in (x for x in first if x.startswith(".params")):
      np.testing.assert_array_equal(first[name], trained[name])
  # A cell has settings of its own; --from would add those of the other run.
  assert f"--config.train.start_from={source}" in list(grid.words(config))


def test_an_evaluation_may_change_what_changes_no_shape(source, tmp_path, command):
  folder = tmp_path / "run"
  shutil.copytree(source, folder)
  words = [f"--workdir={folder}", "--mode=evaluate"]
  yarn = "rope(scaling='yarn', factor=2.0)"
  longer = COPY.format("").replace("length=8", "length=12")
  changed = {"batch_size": "16", "position": yarn, "dataset": longer}
  assert command(*words)[0] == 0
  path = folder / "evaluation.json"
  before = json.loads(path.read_text())
  assert "changed" not in before
  flags = [f"--{key}={value}" for key, value in changed.items()]
  status, out, err = command(*words, *flags)
  assert (status, err) == (0, "")
  found = json.loads(path.read_text())
  assert found["changed"] == {
    "batch_size": {"trained": 8, "evaluated": 16},
    "position": {"trained": "rope", "evaluated": yarn},
    "dataset": {"trained": COPY.format(""), "evaluated": longer},
  }
  assert "position 'rope' → " in out
  assert found["validation"]["loss"] != before["validation"]["loss"]
  assert found["step"] == before["step"] == 4


@pytest.mark.parametrize(
  ("word", "answer"),
  [
    ("--position=learned", "is of another model: it has no .params"),
    ("--attention=cosine", "attention: 'standard' there, 'cosine' here"),
    ("--dataset=copy(sequence_length=8, alphabet=4)", "was trained with "),
  ],
)
def test_an_evaluation_may_not_change_the_model(source, command, word, answer):
  result = command(f"--workdir={source}", "--mode=evaluate", word)
  commands.assert_refused(result, answer)


@pytest.mark.parametrize("mode", ["train", "sample"])
def test_only_an_evaluation_may_change_them(source, mode, command):
  result = command(f"--workdir={source}", f"--mode={mode}", "--batch_size=16")
  commands.assert_refused(result, "batch_size: 8 there, 16 here")
