"""Parallel text: every pair once per pass, few shapes, and cached files."""

import dataclasses
import multiprocessing
import shutil
import sys

import jax
import numpy as np
import pytest

from attention_lab.dataset import parallel_text
from attention_lab.dataset.base import token_file
from attention_lab.dataset.base.bucketed import bucket_lengths
from attention_lab.dataset.base.dataset import datasets, num_batches
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.subwords import SubwordVocabulary, learn_subwords
from tests.corpus import SIZES, sentences, write_corpus

B = 4


def pairs(folder, **options):
  """Return the dataset of the files in a folder."""
  options = {
    "source": "{split}.en",
    "target": "{split}.de",
    "vocabulary_size": 300,
    "sequence_length": 32,
    "buckets": 4,
    **options,
  }
  spec = ", ".join(f"{key}={value!r}" for key, value in options.items())
  return datasets.bind(f"parallel_text({spec})")(data_dir=str(folder), task="pairs")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  """Return a folder with a corpus, shared by all tests."""
  folder = tmp_path_factory.mktemp("corpus")
  write_corpus(folder)
  return folder


@pytest.fixture
def own(tmp_path):
  """Return a folder with a corpus that the test may change."""
  write_corpus(tmp_path)
  return tmp_path


def texts(data, *batches):
  """Return (source, target) of every row that counts."""
  decode = data.vocabulary.decode
  return [
    (decode(source), decode(targets[weights > 0]))
    for batch in batches
    for source, targets, weights in zip(
      batch.source, batch.targets, batch.weights, strict=True
    )
    if weights.any()
  ]


def whole_pass(data, split, epoch=0, batch_size=B):
  """Return all batches of a pass."""
  count = num_batches(data, split, batch_size)
  return [data.batch(split, epoch * count + i, batch_size) for i in range(count)]


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_training_pass_contains_every_pair_once(corpus, epoch):
  data = pairs(corpus, sequence_length=64)
  found = texts(data, *whole_pass(data, "train", epoch))
  assert sorted(found) == sorted(pair for pair in sentences("train") if all(pair))
  assert found != sorted(found)


@pytest.mark.parametrize(("split", "name"), [("validation", "valid"), ("test", "test")])
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_validation_and_test_contain_every_pair_once(corpus, split, name, batch_size):
  data = pairs(corpus, sequence_length=64)
  found = texts(data, *whole_pass(data, split, batch_size=batch_size))
  assert sorted(found) == sorted(sentences(name))
  after = num_batches(data, split, batch_size)
  assert not data.batch(split, after, batch_size).weights.any()


def test_pairs_have_start_and_end_tokens_and_padding(corpus):
  data = pairs(corpus)
  start, end = data.start_token, data.end_token
  batch = data.batch("train", 0, B)
  for source, inputs, targets, weights in zip(
    batch.source, batch.inputs, batch.targets, batch.weights, strict=True
  ):
    size, length = int((source >= 0).sum()), int(weights.sum())
    if not length:
      continue  # A surplus row.
    assert (source[:size] >= 0).all()
    assert source[size - 1] == end
    assert end not in source[: size - 1]
    assert (weights == (np.arange(len(weights)) < length)).all()
    assert inputs[0] == start
    np.testing.assert_array_equal(inputs[1:], targets[:-1])
    assert list(targets[:length]).index(end) == length - 1


def test_long_pairs_are_omitted_in_training_and_truncated_in_evaluation(corpus):
  length = 16
  data, whole = pairs(corpus, sequence_length=length), pairs(corpus, sequence_length=99)
  encode = data.vocabulary.encode
  fit = [
    pair
    for pair in sentences("train")
    if all(0 < len(encode(side)) < length for side in pair)
  ]
  assert 0 < len(fit) < SIZES["train"]
  assert sorted(texts(data, *whole_pass(data, "train"))) == sorted(fit)
  batches = whole_pass(data, "validation")
  assert len(texts(data, *batches)) == SIZES["valid"]
  counted = sum(batch.weights.sum() for batch in batches)
  lengths = [len(encode(target)) + 1 for _, target in sentences("valid")]
  assert counted == data.tokens("validation") == np.minimum(lengths, length).sum()
  assert counted < whole.tokens("validation") == sum(lengths)
  for batch in batches:
    longest = (batch.source >= 0).sum(axis=1) == length
    assert (batch.source[longest, -1] == data.end_token).all()


def test_pairs_with_a_blank_side_are_omitted_in_training_only(own):
  for split in ("train", "valid"):
    for side in ("en", "de"):
      with open(own / f"{split}.{side}", "a") as file:
        file.write("Haus\n\n" if side == "en" else "\nHaus\n")
  data, before = pairs(own), SIZES["valid"]
  assert data.size("validation") == before + 2
  assert ("Haus", "") in texts(data, *whole_pass(data, "validation"))
  assert not {("Haus", ""), ("", "Haus")} & set(texts(data, *whole_pass(data, "train")))


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_concatenated_shards_equal_the_whole_batch(corpus, split, count):
  data = pairs(corpus)
  for step, whole in enumerate(whole_pass(data, split)):
    parts = [data.batch(split, step, B, (i, count)) for i in range(count)]
    together = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    jax.tree.map(np.testing.assert_array_equal, together, whole)


def test_batch_depends_only_on_its_step(corpus):
  steps = [3 * num_batches(pairs(corpus), "train", B) - 2 + i for i in range(4)]
  data = pairs(corpus)
  [data.batch("train", step, B) for step in range(5)]
  for step in steps:
    fresh = pairs(corpus).batch("train", step, B)
    jax.tree.map(np.testing.assert_array_equal, data.batch("train", step, B), fresh)


def test_number_of_shapes_is_at_most_the_number_of_buckets(corpus):
  for buckets in (1, 2, 4):
    data = pairs(corpus, buckets=buckets)
    batches = [b for epoch in range(2) for b in whole_pass(data, "train", epoch)]
    shapes = {batch.inputs.shape for batch in batches}
    assert len(shapes) <= data.num_shapes <= buckets
    for rows, length in shapes:
      assert rows % B == 0
      assert B * 32 - B * length < rows * length <= B * 32
    announced = data.shapes("train", B)
    assert {data.batch("train", s, B).inputs.shape for s in announced} == shapes
    assert sum(announced.values()) == num_batches(data, "train", B)


def test_bucket_lengths_are_fractions_of_the_longest():
  assert bucket_lengths(128, 8) == (8, 10, 16, 21, 32, 42, 64, 128)
  assert bucket_lengths(128, 1) == (128,)
  assert bucket_lengths(6, 99) == (2, 3, 6)
  assert bucket_lengths(2, 4) == (2,)


def test_every_pair_is_in_the_shortest_bucket_that_fits(corpus):
  data = pairs(corpus)
  lengths = (0, *bucket_lengths(32, 4))
  for batch in whole_pass(data, "train"):
    known = batch.weights.any(axis=1)
    needed = np.maximum(batch.weights.sum(axis=1), (batch.source >= 0).sum(axis=1))
    below = lengths[lengths.index(batch.inputs.shape[1]) - 1]
    assert (needed[known] > below).all()


def test_rows_of_a_bucket_are_divided_evenly(corpus):
  data = pairs(corpus, buckets=1)
  rows = [int(b.weights.any(axis=1).sum()) for b in whole_pass(data, "train")]
  assert max(rows) - min(rows) <= 1


def test_description_reports_padding_and_omitted_pairs(corpus):
  data = pairs(corpus)
  batches = whole_pass(data, "train")
  counted = sum(batch.weights.sum() for batch in batches)
  share = 1 - counted / sum(batch.weights.size for batch in batches)
  text = data.described(B)
  assert f"{share:.0%} padding" in text
  assert f"{SIZES['train'] - data.size('train')} of {SIZES['train']} omitted" in text
  assert data.tokens_per_step(B) == pytest.approx(counted / len(batches))


def test_decoding_restores_any_text(corpus):
  vocabulary = pairs(corpus).vocabulary
  assert vocabulary.size == 300
  for text in ("der grüne Baum steht", "漢字 – “quoted” <s> ½ ﬁ\u200b!", "Weg"):
    tokens = vocabulary.encode(text)
    assert tokens.dtype == np.int32
    assert vocabulary.decode(tokens) == text
    marked = [vocabulary.start_token, *tokens, vocabulary.end_token, -1, -1]
    assert vocabulary.decode(marked) == text
  assert len(vocabulary.encode("")) == 0


def test_learning_the_vocabulary_is_deterministic(own, tmp_path_factory):
  models = []
  for _ in range(2):
    models.append(pairs(own).vocabulary.model)
    for path in own.glob("parallel_text/*/sha256.json"):
      path.unlink()  # As in the cache of an earlier version.
  assert models[0] == models[1]


@pytest.mark.parametrize("how", ["flip", "cut", "missing"])
def test_a_damaged_vocabulary_is_refused(own, how):
  assert pairs(own).vocabulary.size
  (path,) = own.glob("parallel_text/*/vocabulary.model")
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content if how == "flip" else content[:-1])
  if how == "missing":
    path.unlink()
  with pytest.raises(UserError, match=rf"in {path.parent} are damaged\. Remove that"):
    _ = pairs(own).vocabulary
  shutil.rmtree(path.parent)
  assert pairs(own).vocabulary.size


@pytest.mark.parametrize("line", ["Quark " * 800, "Quark ▅ Quark"])
def test_no_line_is_left_out_of_the_vocabulary(line):
  """sentencepiece leaves out lines of more than 4,192 bytes, and lines with a ▅."""
  words = ["das Haus ist grün"] * 3
  common = SubwordVocabulary(
    learn_subwords([*words, *[line] * 3], 275, bos_id=1, eos_id=2)
  )
  assert len(common.encode("Quark")) < len("Quark")


def test_vocabulary_stored_in_a_run_needs_no_text_files(corpus, tmp_path):
  files = pairs(corpus).files()
  data = dataclasses.replace(pairs(tmp_path), kept=files)
  assert data.vocabulary.model == files["vocabulary.model"]
  assert (data.start_token, data.end_token) == (1, 2)
  assert data.files() == files


def test_fingerprint_depends_on_the_text_and_not_on_its_folder(own, tmp_path_factory):
  moved = tmp_path_factory.mktemp("moved")
  write_corpus(moved)
  before = pairs(own).fingerprint
  assert pairs(moved).fingerprint == before
  found = {before}
  for name in ("train.en", "train.de", "valid.en", "valid.de"):
    lines = (own / name).read_text().splitlines()
    lines[-1] += "!"
    (own / name).write_text("\n".join(lines))
    found.add(pairs(own).fingerprint)
  assert len(found) == 5


def test_split_names_are_options_and_training_reads_several_files(own):
  (own / "wmt").mkdir()
  names = ("europarl", "news")
  lines = sentences("train")
  for name, some in zip(names, (lines[:50], lines[50:]), strict=True):
    for i, side in enumerate(("en", "de")):
      text = "\n".join(pair[i] for pair in some)  # No line feed at the end.
      (own / "wmt" / f"{name}.{side}").write_text(text)
  (own / "valid.en").rename(own / "wmt" / "newstest2013.en")
  (own / "valid.de").rename(own / "wmt" / "newstest2013.de")
  data = pairs(
    own,
    source="wmt/{split}.en",
    target="wmt/{split}.de",
    train=names,
    validation="newstest2013",
    sequence_length=64,
  )
  assert data.splits == ("train", "validation")
  found = texts(data, *whole_pass(data, "train"))
  assert sorted(found) == sorted(pair for pair in lines if all(pair))
  assert data.size("validation") == SIZES["valid"]


# Files in the cache.


def made(folder):
  """Return the files in the cache, with their content."""
  paths = (folder / "parallel_text").rglob("*")
  return {p: p.read_bytes() for p in paths if p.is_file() and p.name != ".lock"}


def test_tokens_are_encoded_once_and_memory_mapped(own, monkeypatch):
  first = whole_pass(pairs(own), "train")

  def refuse(*_):
    raise AssertionError("encoded again")

  monkeypatch.setattr(SubwordVocabulary, "encode_lines", refuse)
  monkeypatch.setattr(parallel_text, "learn_subwords", refuse)
  for data in (pairs(own), pairs(own, sequence_length=20)):
    whole_pass(data, "train")
    assert isinstance(data._splits["train"].source.tokens, np.memmap)
    assert isinstance(data._splits["train"].target.ends, np.memmap)
  jax.tree.map(np.testing.assert_array_equal, first, whole_pass(pairs(own), "train"))


def test_read_only_data_dir_is_not_written_to(own, tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  own.chmod(0o555)
  try:
    pairs(own).size("train")
  finally:
    own.chmod(0o755)
  assert not made(own)
  assert made(tmp_path / "cache" / "attention_lab" / "data")


@pytest.mark.parametrize("chunks", [0, 1, 2, 3])
def test_interrupted_preparation_keeps_only_complete_files_and_resumes(
  own, monkeypatch, chunks
):
  monkeypatch.setattr(token_file, "CHUNK", 40)
  expected = whole_pass(pairs(own), "train")
  (model,) = own.glob("parallel_text/*/vocabulary.model")
  for path in made(own):
    if path.parent != model.parent:
      path.unlink()
  encode, calls = SubwordVocabulary.encode_lines, []

  def stop(self, lines):
    if len(calls) == chunks:
      raise KeyboardInterrupt
    calls.append(len(lines))
    return encode(self, lines)

  monkeypatch.setattr(SubwordVocabulary, "encode_lines", stop)
  with pytest.raises(KeyboardInterrupt):
    pairs(own).size("train")
  left = made(own)
  names = {path.name for path in left if path.parent != model.parent}
  assert names == ({"tokens", "ends.npy", "sha256.json"} if chunks > 2 else set())
  monkeypatch.setattr(SubwordVocabulary, "encode_lines", encode)
  jax.tree.map(np.testing.assert_array_equal, expected, whole_pass(pairs(own), "train"))
  assert left.items() <= made(own).items()  # Complete files are not made again.


def test_partial_file_of_a_killed_process_is_removed(own):
  pairs(own).size("train")
  digests = next(own.glob("parallel_text/*/ends.npy")).with_name("sha256.json")
  partial = digests.parent / ".123.partial"
  partial.write_bytes(b"half")
  digests.unlink()
  pairs(own).size("train")
  assert not partial.exists()


def prepare(folder, queue):
  """Prepare the files, as each of several processes does."""
  data = pairs(folder)
  queue.put((data.vocabulary.model, data.tokens("train"), data.tokens("validation")))


def test_concurrent_processes_prepare_the_same_files(own):
  context = multiprocessing.get_context("spawn")
  queue = context.Queue()
  processes = [context.Process(target=prepare, args=(own, queue)) for _ in range(2)]
  for process in processes:
    process.start()
  first, second = queue.get(timeout=120), queue.get(timeout=120)
  for process in processes:
    process.join()
    assert process.exitcode == 0
  assert first == second
  assert not [path for path in made(own) if path.name.endswith(".partial")]


def test_slow_preparation_prints_progress(own, capsys, monkeypatch):
  monkeypatch.setattr(token_file, "SECONDS", 0)
  monkeypatch.setattr(parallel_text, "MANY", 100)
  pairs(own).size("train")
  lines = capsys.readouterr().err.splitlines()
  assert lines == [
    "Learning 300 subwords from 180 lines …",
    "train.en: 90 lines encoded",
    "train.de: 90 lines encoded",
  ]


def test_subwords_are_learned_from_a_sample_of_many_lines(own, monkeypatch):
  monkeypatch.setattr(parallel_text, "LEARN_FROM", 60)
  seen = []
  monkeypatch.setattr(
    parallel_text,
    "learn_subwords",
    lambda lines, size, **_: seen.extend(lines) or b"model",
  )
  assert pairs(own).vocabulary.model == b"model"
  sources, targets = zip(*sentences("train"), strict=True)
  assert seen == [*sources[::3], *targets[::3]]


# Rejected files and options.


def refused(folder, match, **options):
  """Assert that using the dataset raises `UserError` with a message of one line."""

  def use():
    data = pairs(folder, **options)
    return data.fingerprint, data.vocabulary, data.size("train")

  with pytest.raises(UserError, match=match) as error:
    use()
  assert "\n" not in str(error.value)


def test_files_of_different_length_are_rejected(own):
  with open(own / "train.de", "a") as file:
    file.write("one more\n")
  refused(own, r"train\.en has 90 lines, but .*train\.de has 91")


def test_empty_file_is_rejected(own):
  (own / "valid.de").write_bytes(b"")
  refused(own, r"valid\.de is empty")


@pytest.mark.parametrize(
  ("content", "line"),
  [(b"a\nb\n\xff\n", 3), (b"\xe2\x82", 1), (b"a\n" * 60 + b"\xe2\x82\nb", 61)],
)
def test_invalid_utf_8_is_rejected_with_its_line(own, content, line, monkeypatch):
  monkeypatch.setattr("attention_lab.dataset.base.lines.BLOCK", 5)
  (own / "train.en").write_bytes(content)
  refused(own, rf"train\.en is not UTF-8 text \(line {line}\)")


def test_character_across_two_blocks_is_read(own, monkeypatch):
  monkeypatch.setattr("attention_lab.dataset.base.lines.BLOCK", 1)
  assert pairs(own).size("train")


@pytest.mark.parametrize(
  ("size", "message"),
  [
    (37_000, r"vocabulary_size=37000 does not fit this text: take \d+ or less"),
    (100, r"vocabulary_size=100 does not fit this text: take more than \d+,"),
  ],
)
def test_vocabulary_size_unsuitable_for_the_text_is_rejected(own, size, message):
  refused(own, message, vocabulary_size=size)
  assert not made(own)


def test_largest_vocabulary_in_the_message_is_accepted(own):
  with pytest.raises(UserError) as error:
    _ = pairs(own, vocabulary_size=37_000).vocabulary
  most = int(str(error.value).split()[-3])
  assert pairs(own, vocabulary_size=most).vocabulary.size == most


def test_missing_files_are_named_in_the_message(own):
  refused(own, r"Cannot read .*there\.en: No such file.*--data_dir", train="there")
  (own / "valid.de").unlink()
  refused(own, r"Cannot read .*valid\.de: No such file")
  (own / "valid.en").unlink()
  refused(own, r"\{split\}\.en: there is no file for validation.* dev\. Name it: valid")


def test_folder_in_place_of_a_file_is_rejected(own):
  (own / "folder.en").mkdir()
  refused(own, r"Cannot read .*folder\.en: Is a directory", train="folder")


def test_training_split_without_usable_pairs_is_rejected(own):
  refused(
    own, r"Of 90 training pairs none .*sequence_length=2; .* \d+", sequence_length=2
  )


def test_blank_files_are_rejected(own):
  for side in ("en", "de"):
    (own / f"train.{side}").write_text("\n \n")
  refused(own, "every line is blank")


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"source": "train.en"}, r"source='train.en'\): write \{split\} in place"),
    ({"sequence_length": 1}, r"sequence_length=1\): take 2 or more"),
    ({"buckets": 0}, r"buckets=0\): take 1 or more"),
    ({"seed": -1}, r"seed=-1\): take 0 or more"),
  ],
)
def test_invalid_options_are_rejected(own, options, message):
  refused(own, message, **options)


def test_missing_sentencepiece_is_reported_with_a_remedy(own, monkeypatch):
  monkeypatch.setitem(sys.modules, "sentencepiece", None)  # Its import fails.
  refused(own, r"pip install sentencepiece, or the extra \[translate\]")
