"""Every dataset is a pure function of split, step and shard, and loses no example."""

import dataclasses
import hashlib

import jax
import numpy as np
import pytest

from attention_lab.dataset.base.dataset import SPLITS, datasets, each_array, num_batches
from attention_lab.dataset.base.mixed import Mixed
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from tests.corpus import write_corpus
from tests.parts import tiny_config

SIZES = "train_examples=10, validation_examples=7"
SPECS = {
  "associative_recall": f"associative_recall(sequence_length=16, pairs=3, {SIZES})",
  "compositional_recall": f"compositional_recall(sequence_length=24, {SIZES})",
  "compression": f"compression(sequence_length=8, {SIZES})",
  "copy": f"copy(sequence_length=8, {SIZES})",
  "digits": "digits",
  "dyck": f"dyck(sequence_length=12, {SIZES})",
  "flip_flop": f"flip_flop(sequence_length=16, ignore=0.5, {SIZES})",
  "forgetting_recall": f"forgetting_recall(sequence_length=16, pairs=3, updates=1,"
  f" {SIZES})",
  "fuzzy_recall": f"fuzzy_recall(sequence_length=16, {SIZES})",
  "group_words": f"group_words(sequence_length=8, {SIZES})",
  "induction": f"induction(sequence_length=9, {SIZES})",
  "listops": f"listops(sequence_length=16, {SIZES})",
  "majority": f"majority(sequence_length=8, {SIZES})",
  "markov_chains": f"markov_chains(sequence_length=16, {SIZES})",
  "masked": "masked(of='python_docs', sequence_length=32)",
  "memorisation": f"memorisation(sequence_length=8, keys=9, {SIZES})",
  "mixture": "mixture(of=('python_docs', 'python_docs(seed=1)'), sequence_length=32)",
  "modular_arithmetic": f"modular_arithmetic(sequence_length=12, {SIZES})",
  "needle": "needle(sequence_length=64, train_examples=10, validation_examples=10)",
  "ngram_induction": f"ngram_induction(sequence_length=9, {SIZES})",
  "noisy_recall": f"noisy_recall(sequence_length=12, {SIZES})",
  "parallel_text": "parallel_text(source='{split}.en', target='{split}.de', "
  "vocabulary_size=300, sequence_length=24, buckets=3)",
  "parity": f"parity(sequence_length=12, running=True, {SIZES})",
  "python_docs": "python_docs(sequence_length=32)",
  "random_pairs": f"random_pairs(sequence_length=8, {SIZES})",
  "reverse": f"reverse(sequence_length=8, {SIZES})",
  "selective_copying": f"selective_copying(sequence_length=16, letters=4, {SIZES})",
  "shakespeare": "shakespeare(sequence_length=32)",
  "sort": f"sort(sequence_length=8, {SIZES})",
  "text_classification": "text_classification(train='labels.tsv', "
  "validation='others.tsv', sequence_length=8)",
  "text": "text(path='text.txt', sequence_length=8)",
  "variable_assignment": f"variable_assignment(sequence_length=32, {SIZES})",
  "tokens": "tokens(train='train_*.npy', validation='validation.bin', sequence_length=8)",
}


@pytest.fixture(params=list(datasets))
def dataset(request, tmp_path, monkeypatch):
  """Return every registered dataset, small, with generated files if it needs any."""
  monkeypatch.chdir(tmp_path)
  text = "".join(np.random.default_rng(0).choice(list("abcdef \n"), size=400))
  (tmp_path / "text.txt").write_text(text)
  for name, count in (("labels.tsv", 40), ("others.tsv", 7)):
    lines = (f"{i % 2}\t{i}\n" for i in range(count))
    (tmp_path / name).write_text("".join(lines))
  if request.param == "tokens":
    for number in range(3):
      np.save(tmp_path / f"train_{number}", np.arange(130 * number, 130 * (number + 1)))
    np.arange(70, dtype=np.uint16).tofile(tmp_path / "validation.bin")
  if request.param == "parallel_text":
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    write_corpus(tmp_path)
  if request.param == "shakespeare":
    (tmp_path / "input.txt").write_text(text)
    module = "attention_lab.dataset.shakespeare"
    digest = hashlib.sha256(text.encode()).hexdigest()
    monkeypatch.setattr(f"{module}.SHA256", digest)
  return datasets.bind(SPECS[request.param])(data_dir=str(tmp_path))


@pytest.mark.parametrize("split", SPLITS)
def test_batch_has_the_documented_shapes_and_dtypes(dataset, split):
  batch = dataset.batch(split, 0, 4)
  shape = (4, dataset.sequence_length)
  if dataset.num_shapes > 1:  # Shorter rows come in larger numbers.
    shape = batch.inputs.shape
    assert shape[0] % 4 == 0
    assert shape[0] * shape[1] <= 4 * dataset.sequence_length
  assert [x.shape for x in batch[:3]] == [shape] * 3
  assert [x.dtype for x in batch[:3]] == [np.int32, np.int32, np.float32]
  assert (batch.source is not None) == (dataset.tasks == ("pairs",))
  for tokens in (batch.inputs, batch.targets):
    assert 0 <= tokens.min() <= tokens.max() < dataset.vocabulary.size
  moved = batch.inputs[:, 1:] == batch.targets[:, :-1]
  if dataset.tasks[0] not in ("labels", "masked", "reconstruction"):
    assert moved.all()
  else:  # No answer is among the inputs.
    assert (
      not (moved & (batch.weights[:, :-1] > 0)).all() or not batch.weights[:, :-1].any()
    )


@pytest.mark.parametrize("split", SPLITS)
def test_batch_depends_only_on_its_arguments(dataset, split):
  first = dataset.batch(split, 3, 4)
  dataset.batch(split, 0, 4)
  jax.tree.map(np.testing.assert_array_equal, first, dataset.batch(split, 3, 4))
  other = dataset.batch(split, 0, 4)
  assert not np.array_equal(first.inputs, other.inputs)


@pytest.mark.parametrize("split", SPLITS)
def test_concatenated_shards_equal_the_whole_batch(dataset, split):
  whole = dataset.batch(split, 1, 4)
  for count in (2, 4):
    shards = [dataset.batch(split, 1, 4, (i, count)) for i in range(count)]
    together = each_array(lambda *arrays: np.concatenate(arrays), *shards)
    jax.tree.map(np.testing.assert_array_equal, together, whole)


def test_training_pass_contains_every_example_once(dataset):
  if isinstance(dataset, Mixed):
    pytest.skip("it draws by shares: tests/dataset/test_mixture.py")
  size = dataset.size("train")
  # One batch is the whole pass, or one per shape if there are several shapes.
  steps = num_batches(dataset, "train", size)
  for epoch in range(2):
    batches = [dataset.batch("train", epoch * steps + i, size) for i in range(steps)]
    expected = dataset.examples("train", epoch, np.arange(size))
    assert _rows(*batches) == _rows(expected)


def _rows(*batches):
  """Return inputs and targets of every example, sorted, without padding if pairs."""
  rows = []
  for batch in batches:
    tokens, counts = np.stack(batch[:2], axis=1), batch.weights > 0
    if batch.source is None:
      rows += map(bytes, tokens)
    else:
      pairs = zip(tokens, counts, strict=True)
      rows += [bytes(row[:, known]) for row, known in pairs if known.any()]
  return sorted(rows)


STRINGS = ["copy", "random_pairs", "reverse", "sort"]


@pytest.mark.parametrize("name", STRINGS)
def test_pairs_split_the_string_into_source_and_targets(name):
  whole, pairs = (
    datasets.bind(SPECS[name])(data_dir="", task=task).batch("train", 1, 4)
    for task in ("next_token", "pairs")
  )
  for i in range(3):
    np.testing.assert_array_equal(pairs[i], whole[i][:, 4:])
  np.testing.assert_array_equal(pairs.source, whole.inputs[:, :4])
  assert pairs.weights.all()


def test_only_strings_and_parallel_text_offer_pairs():
  offer = [name for name in datasets if "pairs" in datasets[name].tasks]
  assert offer == sorted([*STRINGS, "parallel_text"])


def test_pairs_without_their_contract_are_rejected_at_assembly(monkeypatch):
  class Plain(datasets["parity"]):
    tasks = ("pairs",)

  monkeypatch.setitem(datasets._parts, "plain", Plain)
  config = tiny_config(architecture__name="encoder_decoder", dataset="plain")
  with pytest.raises(UserError, match="subclass of attention_lab.PairDataset") as error:
    assemble(config)
  assert "\n" not in str(error.value)


def test_training_passes_have_different_orders(dataset):
  size = dataset.size("train")
  steps = num_batches(dataset, "train", size)
  first, second = (dataset.batch("train", step, size) for step in (0, steps))
  assert not np.array_equal(first.inputs, second.inputs)


def test_validation_contains_every_example_once(dataset):
  count = num_batches(dataset, "validation", 4)
  rows = sum(
    int((dataset.batch("validation", step, 4).weights.sum(axis=1) > 0).sum())
    for step in range(count)
  )
  assert rows == dataset.size("validation")
  assert dataset.batch("validation", count, 4).weights.sum() == 0


def test_seed_changes_the_order(dataset):
  other = dataclasses.replace(dataset, seed=1)
  batches = [one.batch("train", 0, 8).inputs for one in (dataset, other)]
  assert not np.array_equal(*batches)


def test_prompt_survives_encoding_and_decoding(dataset):
  prompt = dataset.prompt()
  assert prompt
  assert dataset.vocabulary.decode(dataset.vocabulary.encode(prompt)) == prompt


def test_fingerprint_is_a_sha256(dataset):
  assert len(dataset.fingerprint) == 64
  assert int(dataset.fingerprint, 16)
