"""Tests of training with batches of several shapes."""

import dataclasses
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from attention_lab.dataset.base.bucketed import Bucketed
from attention_lab.dataset.base.dataset import Batch, datasets, num_batches
from attention_lab.distributed.devices import replicate
from attention_lab.errors import UserError
from attention_lab.mode import evaluate as evaluate_mode
from attention_lab.mode import sample, train
from attention_lab.nn.metrics import Measured
from attention_lab.run import folder as run_folder
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary
from attention_lab.training.evaluation import evaluate
from attention_lab.training.preflight import training_flops
from attention_lab.training.seeds import make_stepper
from attention_lab.training.window import Window
from attention_lab.update import fresh_state, make_evaluate
from tests.commands import last_checkpoint, records
from tests.corpus import write_corpus
from tests.parts import tiny_config
from tests.test_update import loss as bigram

B = 8
OPTIMIZER = optax.adamw(0.1)


@dataclasses.dataclass(kw_only=True)
class Varied(Bucketed):
  """Words of one repeated letter, of all lengths, each followed by an end token."""

  sequence_length: int = 12
  buckets: int = 2
  letters: str = "abc"

  @property
  def vocabulary(self):
    kept = self.kept.get("letters.txt", self.letters.encode()).decode()
    return CharacterVocabulary(kept + "|")

  @property
  def fingerprint(self):
    return "0" * 64

  def files(self):
    return {"letters.txt": self.vocabulary.characters[:-1].encode()}

  def lengths(self, split):
    return 1 + np.arange({"train": 300, "validation": 37}[split]) % self.sequence_length

  def tokens(self, split):
    return int(self.lengths(split).sum())

  def padded(self, split, indices, length):
    at, size = np.arange(length), self.lengths(split)[indices][:, None]
    letters = np.tile(indices[:, None] % 3, length)
    ended = np.where(at + 1 < size, letters, 3)
    weights = (at < size).astype(np.float32)
    return Batch(letters.astype(np.int32), ended.astype(np.int32), weights)


@pytest.fixture(autouse=True)
def varied(monkeypatch):
  """Register a dataset of several shapes that a decoder can learn."""
  monkeypatch.setitem(datasets._parts, "varied", Varied)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
  """Return a dataset of sentence pairs in several shapes."""
  folder = tmp_path_factory.mktemp("corpus")
  write_corpus(folder)
  bound = datasets.bind(
    "parallel_text(source='{split}.en', target='{split}.de', vocabulary_size=300, "
    "sequence_length=32, buckets=3)"
  )
  return bound(data_dir=str(folder), task="pairs")


def trainer(dataset, num_devices=2, **changes):
  """Return a stepper of a bigram model, which compiles quickly."""
  size = dataset.vocabulary.size

  def fresh(seed):
    return fresh_state({"table": jnp.zeros((size, size))}, OPTIMIZER, seed)

  parts = types.SimpleNamespace(
    dataset=dataset, loss=bigram, optimizer=OPTIMIZER, fresh=fresh
  )
  return make_stepper(parts, jax.local_devices()[:num_devices], [0], B, **changes)


def advance(one, step):
  """Train up to `step`; return the window of the steps."""
  window = Window.of()
  while one.step < step:
    window.extend(one.advance(step))
  return window


@pytest.fixture(scope="module")
def trained(pairs):
  """Return a stepper after two passes, its window, and each call's shape and count."""
  one, traces = trainer(pairs), []
  update = one._update

  def watched(state, batches, count):
    traces.append((batches.inputs.shape[1:], count))
    return update(state, batches, count)

  one._update = watched
  one.compile()
  window = advance(one, 2 * num_batches(pairs, "train", B))
  return one, window, traces


def test_all_shapes_are_compiled_before_the_first_step(trained, pairs):
  _, _, calls = trained
  first = [count for _, count in calls].index(1)
  compiled = {shape for shape, _ in calls[:first]}
  assert len(compiled) == first == len(pairs.shapes("train", B)) == 3
  assert {shape for shape, _ in calls[first:]} == compiled


def test_call_runs_one_step_and_allocates_one_batch(trained):
  _, _, calls = trained
  assert {count for _, count in calls} == {0, 1}
  assert {shape[0] for shape, _ in calls} == {1}


def test_weight_of_a_pass_is_its_number_of_target_tokens(trained, pairs):
  _, window, _ = trained
  half = num_batches(pairs, "train", B)
  assert sum(window.weight[:half]) == pairs.tokens("train")
  assert sum(window.weight[half:]) == pairs.tokens("train")


def test_training_reduces_the_loss(trained, pairs):
  _, window, _ = trained
  losses = np.array(window.loss) / np.array(window.weight)
  assert losses[-3:].mean() < losses[0] - 0.5


def test_training_does_not_depend_on_the_number_of_devices(trained, pairs):
  one, window, _ = trained
  other = trainer(pairs, num_devices=1)
  other.compile()
  found = advance(other, one.step)
  np.testing.assert_allclose(found.loss, window.loss, rtol=1e-4, atol=1e-5)
  assert found.weight == window.weight


@pytest.mark.parametrize("stop", [1, 7])
def test_resuming_within_a_pass_is_bitwise_equal(trained, pairs, stop):
  one, window, _ = trained
  assert stop % num_batches(pairs, "train", B)
  before = trainer(pairs)
  before.compile()
  advance(before, stop)
  after = trainer(dataclasses.replace(pairs))
  after.load(before.state(), stop)
  after.compile()
  rest = advance(after, one.step)
  jax.tree.map(np.testing.assert_array_equal, after.state(), one.state())
  assert rest == tuple(values[stop:] for values in window)


def test_undeclared_shape_is_rejected(pairs):
  one = trainer(pairs)
  one.compile()
  wider = dataclasses.replace(pairs, sequence_length=40)
  with pytest.raises(AssertionError, match="traced > 3 times"):
    one._update(one.placed, trainer(wider)._make_batches(0, 1), 1)


def test_one_bucket_runs_several_steps_per_call(pairs):
  one = trainer(dataclasses.replace(pairs, buckets=1), steps_per_call=4)
  assert one._make_batches(0, 2).inputs.shape == (2, 4, B // 2, 32)


@pytest.mark.parametrize(("split", "count"), [("validation", 11), ("test", 7)])
def test_evaluation_uses_every_pair_once(pairs, split, count):
  devices = jax.local_devices()[:2]
  size = pairs.vocabulary.size
  uniform = replicate({"table": np.zeros((size, size), np.float32)}, devices)
  seen = []

  def watched(params, batch):
    seen.append(run(params, batch))
    return seen[-1]

  def measure(params, batch):
    sums = bigram(params, None, batch)
    sequences = jnp.sum(batch.weights.any(axis=1))
    return Measured(sums, jnp.zeros(()), sequences, jnp.zeros(()))

  run = make_evaluate(measure, devices, pairs.num_shapes)
  figures = evaluate(watched, uniform, pairs, split, B, devices)
  assert figures["loss"] == pytest.approx(np.log(size), rel=1e-5)
  assert sum(float(found.sums.weight[0]) for found in seen) == pairs.tokens(split)
  assert sum(int(found.sequences[0]) for found in seen) == pairs.size(split) == count


# Whole runs.


def config(**changes):
  return tiny_config(
    dataset="varied",
    position="none",
    model__num_layers=1,
    train__schedule="constant",
    log__tensorboard=False,
    checkpoint__every=100,
    **{"steps": 9, "log__every": 3, **changes},
  )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Return the folder of a finished run."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(datasets._parts, "varied", Varied)
    workdir = tmp_path_factory.mktemp("runs") / "run"
    assert train.run(config(), str(workdir)) == 0
  return workdir


def test_interrupted_run_equals_an_uninterrupted_one(run, tmp_path, capsys):
  for steps in (5, 9):
    assert train.run(config(steps=steps), str(tmp_path / "run")) == 0
  assert "300 examples per pass, " in capsys.readouterr().out
  jax.tree.map(
    np.testing.assert_array_equal,
    last_checkpoint(tmp_path / "run"),
    last_checkpoint(run),
  )
  steps = (3, 6, 9)
  ours, theirs = (
    {r["step"]: r["loss"] for r in records(folder) if r["split"] == "train"}
    for folder in (tmp_path / "run", run)
  )
  assert ours[9] == theirs[9]
  assert set(theirs) == set(steps)


def test_evaluation_of_a_run_equals_its_summary(run):
  assert evaluate_mode.run(config(), str(run)) == 0
  found = json.loads((run / "evaluation.json").read_text())
  summary = json.loads((run / "summary.json").read_text())
  for split in ("train", "validation"):
    assert found[split].pop("perplexity") > 1
    assert found[split] == summary[split]
  assert summary["utilisation"] > 0
  data = Varied(data_dir="")
  passes = 9 / num_batches(data, "train", 8)
  expected = passes * data.tokens("train") / summary["tokens_per_second"]
  assert 0 < expected <= summary["seconds"]


def test_flops_are_averaged_over_the_shapes():
  data = Varied(data_dir="")
  changed = config()
  steps = data.shapes("train", 1)
  assert len(steps) == 2
  # Without scores, each of the budget's positions costs the same, whatever its row.
  d, positions = 8, 12
  token = 4 * d * d + 2 * d * 4 * d + d * 4
  rows = {step: data.batch("train", step, 1).inputs.shape for step in steps}
  assert {r * n for r, n in rows.values()} == {positions}
  scores = sum(steps[s] * 2 * rows[s][0] * rows[s][1] ** 2 * d for s in steps)
  expected = 6 * 8 * (positions * token + scores / sum(steps.values()))
  assert training_flops(changed) == int(expected)


# Files stored with a run.


def test_files_of_a_run_are_in_its_folder_and_in_every_checkpoint(run):
  assert (run / "letters.txt").read_bytes() == b"abc"
  assert run_folder.kept(run) == {"letters.txt": b"abc"}
  arrays = last_checkpoint(run)
  assert bytes(arrays["files/letters.txt"]) == b"abc"


@pytest.fixture
def moved(run, tmp_path):
  """Return the folder of a copy of the run."""
  folder = tmp_path / "moved"
  (folder / "checkpoints").mkdir(parents=True)
  for path in run.rglob("*"):
    if path.is_file():
      (folder / path.relative_to(run)).write_bytes(path.read_bytes())
  return folder


def test_run_is_used_with_its_stored_files(moved, monkeypatch, capsys):

  @dataclasses.dataclass(kw_only=True)
  class Changed(Varied):
    letters: str = "xyz"

  monkeypatch.setitem(datasets._parts, "varied", Changed)
  sampled = config(sample__prompt="ab")
  assert sample.run(sampled, str(moved)) == 0
  assert capsys.readouterr().out.startswith("[ab]")
  (moved / "config.json").write_text(json.dumps({"config": sampled.to_dict()}))
  with pytest.raises(UserError, match="'a' is not in this dataset's vocabulary"):
    sample.run(sampled, str(moved))


def test_missing_or_damaged_file_is_restored_from_a_checkpoint(moved):
  path = moved / "letters.txt"
  path.write_bytes(b"abd")
  assert run_folder.kept(moved) == {"letters.txt": b"abc"}
  path.unlink()
  assert run_folder.kept(moved) == {"letters.txt": b"abc"}
  assert train.run(config(steps=10), str(moved)) == 0
  assert path.read_bytes() == b"abc"
  for path in (moved / "checkpoints").iterdir():
    path.unlink()
  (moved / "letters.txt").write_bytes(b"abd")
  with pytest.raises(UserError, match=r"letters\.txt is missing or damaged") as error:
    run_folder.kept(moved)
  assert "\n" not in str(error.value)


def test_folder_without_a_run_has_no_stored_files(tmp_path):
  assert run_folder.kept(tmp_path) == {}
