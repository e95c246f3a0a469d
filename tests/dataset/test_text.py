"""Texts as windows: no loss, no overlap of splits; loading and vocabularies."""

import hashlib
import urllib.error

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.dataset import shakespeare
from attention_lab.dataset.base.dataset import datasets, num_batches
from attention_lab.dataset.base.held_out import hold_out
from attention_lab.dataset.base.text import Text
from attention_lab.errors import UserError
from attention_lab.nn.metrics import Measured, Sums
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary, WordVocabulary
from attention_lab.training.evaluation import evaluate


def text_file(tmp_path, content, **options):
  """Return a text_file dataset of `content`."""
  path = tmp_path / "text.txt"
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  options = {"path": str(path), "sequence_length": 4, **options}
  spec = ", ".join(f"{key}={value!r}" for key, value in options.items())
  return datasets.bind(f"text({spec})")(data_dir="")


LETTERS = "".join(chr(ord("A") + i) for i in range(58))  # All distinct.


@pytest.mark.parametrize("length", [1, 3, 4, 7])
def test_validation_predicts_every_character_after_the_first_once(tmp_path, length):
  data = text_file(tmp_path, LETTERS, validation_fraction=0.5, sequence_length=length)
  predicted = []
  for step in range(num_batches(data, "validation", 2)):
    batch = data.batch("validation", step, 2)
    predicted += list(batch.targets[batch.weights > 0])
  assert data.vocabulary.decode(predicted) == LETTERS[30:]


def test_training_windows_exclude_validation_text(tmp_path):
  data = text_file(tmp_path, LETTERS, validation_fraction=0.5)
  last = data.vocabulary.encode(LETTERS[28])[0]
  for step in range(50):
    batch = data.batch("train", step, 3)
    assert max(batch.inputs.max(), batch.targets.max()) <= last
    assert batch.weights.min() == 1


def test_training_pass_repeats_no_character(tmp_path):
  data = text_file(tmp_path, LETTERS)
  size = data.size("train")
  for step in range(5):
    targets = data.batch("train", step, size).targets
    assert len(np.unique(targets)) == targets.size


def test_file_is_found_in_data_dir(tmp_path):
  text_file(tmp_path, LETTERS)
  data = datasets.bind("text(path='text.txt')")(data_dir=str(tmp_path))
  assert data.text == LETTERS


@pytest.mark.parametrize(
  ("content", "options", "message"),
  [
    ("", {}, "text.txt is empty"),
    ("aaaa", {}, "fewer than 2 distinct"),
    (b"\xff\xfe", {}, "not UTF-8 text \\(byte 0\\)"),
    (LETTERS, {"sequence_length": 200}, "too few for windows of 200"),
    (LETTERS, {"sequence_length": 0}, "take 1 or more"),
    (LETTERS, {"validation_fraction": 1.5}, "between 0 and 1"),
  ],
)
def test_unusable_text_is_rejected(tmp_path, content, options, message):
  with pytest.raises(UserError, match=message):
    text_file(tmp_path, content, **options).size("train")


@pytest.mark.parametrize(
  ("content", "told"),
  [
    (f"\ufeff{LETTERS}\n{LETTERS}\n", ""),
    (f"{LETTERS}\r\n{LETTERS}\r\n", r"2 line ends \r\n are read as \n"),
  ],
)
def test_a_byte_order_mark_and_carriage_returns_are_not_text(tmp_path, content, told):
  plain = text_file(tmp_path, f"{LETTERS}\n{LETTERS}\n")
  expected = plain.text, plain.vocabulary.size, plain.fingerprint
  data = text_file(tmp_path, content)
  assert (data.text, data.vocabulary.size, data.fingerprint) == expected
  assert data.described(1).endswith(told)
  assert bool(data.described(1)) == bool(told)
  assert plain.described(1) == hold_out(plain, 0.5).described(1) == ""
  assert hold_out(data, 0.5).described(1) == data.described(1)


def test_a_carriage_return_within_a_line_is_text(tmp_path):
  assert text_file(tmp_path, "a\rb").text == "a\rb"


def test_a_text_has_the_vocabulary_that_its_run_keeps(tmp_path):
  kept = text_file(tmp_path, LETTERS * 3).files()
  data = text_file(tmp_path, LETTERS[1:] * 3)
  data.kept = kept
  assert data.vocabulary.characters == "".join(sorted(LETTERS))
  assert data.files() == kept
  other = text_file(tmp_path, (LETTERS + "äö") * 3)
  other.kept = kept
  with pytest.raises(UserError, match=r"not trained on: 'äö'\. Restore the data"):
    other.size("train")


def test_a_subclass_with_another_vocabulary_keeps_its_prompt(tmp_path):
  class Words(Text):
    vocabulary = WordVocabulary.numbers(10)

    def load(self):
      return "1 2 3 4 " * 9

  files = Words(data_dir="", sequence_length=2, validation_fraction=0.2).files()
  assert set(files) == {"prompt.txt"}


def test_python_docs_contain_every_paragraph_once():
  data = datasets.bind("python_docs")(data_dir="")
  paragraphs = data.text.split("\n\n")
  assert len(paragraphs) == len({" ".join(p.split()) for p in paragraphs})
  assert len(data.text) > 300_000


def test_shakespeare_with_a_wrong_sha256_is_rejected(tmp_path):
  (tmp_path / "input.txt").write_text("To be, or not to be")
  with pytest.raises(UserError, match="its sha256 differs"):
    _ = datasets.bind("shakespeare")(data_dir=str(tmp_path)).text


class Answer:
  """Response of `urlopen`."""

  def __init__(self, content):
    self.content = content

  def __enter__(self):
    return self

  def __exit__(self, *_):
    return None

  def read(self, size):
    return self.content[:size]


def test_shakespeare_is_downloaded_once(tmp_path, monkeypatch):
  content, calls = b"To be, or not to be", []

  def urlopen(address, timeout):
    calls.append(address)
    return Answer(content)

  monkeypatch.setattr(shakespeare.urllib.request, "urlopen", urlopen)
  monkeypatch.setattr(shakespeare, "SHA256", hashlib.sha256(content).hexdigest())
  for _ in range(2):
    assert datasets.bind("shakespeare")(data_dir=str(tmp_path)).text == content.decode()
  assert calls == [shakespeare.ADDRESS]
  assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["input.txt"]


def test_invalid_download_is_rejected_and_not_stored(tmp_path, monkeypatch):
  monkeypatch.setattr(
    shakespeare.urllib.request, "urlopen", lambda address, timeout: Answer(b"<html>")
  )
  with pytest.raises(UserError, match="nothing was kept"):
    _ = datasets.bind("shakespeare")(data_dir=str(tmp_path)).text
  assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_failed_download_is_reported_in_one_line_with_a_remedy(tmp_path, monkeypatch):
  def urlopen(address, timeout):
    raise urllib.error.URLError("no network")

  monkeypatch.setattr(shakespeare.urllib.request, "urlopen", urlopen)
  with pytest.raises(UserError, match="no network.*--data_dir") as error:
    _ = datasets.bind("shakespeare")(data_dir=str(tmp_path)).text
  assert "\n" not in str(error.value)


def test_character_vocabulary_encodes_and_decodes():
  vocabulary = CharacterVocabulary.of("hello – wörld")
  text = "hello wörld – oh"
  assert vocabulary.decode(vocabulary.encode(text)) == text
  assert vocabulary.size == len(set("hello – wörld"))
  with pytest.raises(UserError, match="'X' is not in"):
    vocabulary.encode("heXllo")
  with pytest.raises(UserError, match="'𝔘' is not in"):
    vocabulary.encode("𝔘")


def test_word_vocabulary_encodes_and_decodes():
  vocabulary = WordVocabulary.numbers(8192)
  assert vocabulary.size == 8192
  np.testing.assert_array_equal(vocabulary.encode("17  4 8191"), [17, 4, 8191])
  assert vocabulary.encode("17 4").dtype == np.int32
  assert vocabulary.decode(np.array([17, 4, 3])) == "17 4 3"
  assert len(vocabulary.encode(" ")) == 0
  with pytest.raises(UserError, match="'8192' is not in .*: 0 1 2 … 8191; leave"):
    vocabulary.encode("17 8192")


def test_only_the_second_half_of_copy_counts():
  data = datasets.bind("copy(sequence_length=6, alphabet=3)")(data_dir="")
  batch = data.batch("train", 0, 2)
  for row, targets, weights in zip(*batch[:3], strict=True):
    text = data.vocabulary.decode(row)
    assert text[3] == "|"
    assert data.vocabulary.decode(targets[weights > 0]) == text[:3]
  assert data.prompt().endswith("|")


@pytest.mark.parametrize(
  "options", ["alphabet=0", "sequence_length=5", "train_examples=0"]
)
def test_invalid_options_of_copy_are_rejected(options):
  with pytest.raises(UserError, match=options.split("=")[0]):
    datasets.bind(f"copy({options})")(data_dir="")


def test_evaluation_of_a_text_reports_bits_per_byte(tmp_path):
  """2 nats over 3 bytes are 2 / (3 ln 2) bits per byte."""
  dataset = text_file(tmp_path, LETTERS)
  one = jnp.ones(1)
  sums = Sums(2 * one, one, 2 * one)
  run = lambda params, batch: Measured(sums, one, one, 3 * one)  # noqa: E731
  found = evaluate(run, None, dataset, "validation", 4, jax.devices()[:1])
  assert found["loss"] == 1
  assert found["bits_per_byte"] == pytest.approx(2 / 3 / np.log(2))
  assert dataset.token_bytes.tolist() == [1] * dataset.vocabulary.size
  assert datasets.bind("copy")(data_dir="").token_bytes is None  # No text.
