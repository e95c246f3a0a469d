"""Subwords: what is learned, how a long text is encoded, and refusals."""

import pickle
import sys

import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.tokenizer import bpe
from attention_lab.tokenizer.base.tokenizer import tokenizers
from tests.tokenizer.laws import TRAINING

TEXT = "".join(TRAINING)


def learned(documents, size=320, **options):
  """Return the vocabulary that a tokenizer learns of documents."""
  words = ", ".join(f"{key}={value!r}" for key, value in options.items())
  tokenizer = tokenizers.bind(f"bpe(vocabulary_size={size}, {words})")()
  return tokenizer.vocabulary(tokenizer.learn(lambda: documents, True), True)


@pytest.fixture(scope="module")
def vocabulary():
  return learned(TRAINING)


def test_tokens_are_a_separator_the_bytes_and_frequent_words(vocabulary):
  assert vocabulary.size == 320
  assert vocabulary.separator == 0
  assert vocabulary.pieces[0] == b""
  assert vocabulary.pieces[1:257] == tuple(bytes([i]) for i in range(256))
  assert learned(["low lower lowest " * 9] * 9, 270).encode("low").size == 1
  assert vocabulary.encode("😀").size == 1
  # A character that the text does not have is encoded as its bytes.
  assert vocabulary.encode("日").tolist() == [1 + byte for byte in "日".encode()]


def test_runs_of_spaces_and_line_ends_become_tokens():
  found = learned(["if x:\n\n        return y\r\n" * 20], 285).pieces
  assert {b"\n\n", b"        "} <= set(found)
  assert any(each.startswith(b"\r\n") for each in found) or b"\r" in found
  joined = [each for each in found if b" " in each[1:] and each.strip()]
  assert joined == []  # A space only at the start.


@pytest.mark.parametrize(
  "text",
  [
    "word " * 5_000,  # Longer than a segment, without a line end.
    "x" * 9_001,
    "\n" * 9_001,
    "▁" * 17,
    " " * 4_001 + "▁",
    "a\n" * 5_000,  # More lines than are encoded at a time.
  ],
  ids=["words", "word", "lines", "space", "spaces", "short"],
)
def test_a_long_text_is_encoded_in_parts(vocabulary, text):
  tokens = vocabulary.encode(text)
  assert vocabulary.decode(tokens) == text
  assert max(map(len, bpe._segments([text]))) <= 2 * bpe.LONGEST


def test_parts_end_at_spaces_and_do_not_change_tokens(vocabulary):
  text = "word " * 5_000
  parts = list(bpe._segments([text]))
  assert len(parts) == 7
  assert all(part.startswith(" word") for part in parts[1:])
  whole = vocabulary._processor.encode(text)
  assert vocabulary.encode(text).tolist() == whole


def test_a_text_cut_before_line_ends_has_the_same_tokens(vocabulary):
  lines = TEXT.replace("\n\n\n", "\n").split("\n")
  parts = [lines[0], *(f"\n{line}" for line in lines[1:])]
  joined = np.concatenate(vocabulary.encode_documents(parts))
  np.testing.assert_array_equal(joined, vocabulary.encode("".join(parts)))


def test_a_large_text_is_sampled():
  lines = [f"{i:07d}\n" for i in range(1000)]
  assert bpe.sample(lines, 8_000) == lines
  some = bpe.sample(lines, 3_000)
  assert some == bpe.sample(iter(lines), 3_000)
  assert 1_500 < sum(map(len, some)) <= 3_000
  assert some == sorted(set(some))
  assert np.mean([int(line) for line in some]) == pytest.approx(500, abs=60)
  # Chosen at random, whatever comes later: the first lines are not preferred.
  assert set(some) <= set(bpe.sample(lines, 6_000))


def test_learning_reads_no_more_than_it_may(capsys, monkeypatch):
  documents = [f"common words {i}\n" * 3 for i in range(1_000)]
  small = learned(documents, 290, learn_from=10_000)
  assert small == learned(documents, 290, learn_from=10_000)
  assert small != learned(documents, 290)
  assert capsys.readouterr().err == ""
  monkeypatch.setattr(bpe, "MANY", 1_000)
  learned(documents, 290)
  assert capsys.readouterr().err == "Learning 290 subwords from 50,670 characters …\n"


@pytest.mark.parametrize(
  ("documents", "options", "message"),
  [
    (TRAINING, {"size": 1}, "vocabulary_size=1 does not fit this text: take more than"),
    (TRAINING, {"size": 0}, r"bpe(vocabulary_size=0): take 1 or more"),
    (TRAINING, {"size": 9_000}, "vocabulary_size=9000 does not fit this text: take "),
    ([], {}, "There is no text to learn subwords from"),
    (["", "\n\n", "▁"], {}, "There is no text to learn subwords from"),
    (["a b"], {}, "vocabulary_size=320 does not fit this text: take "),
    (TRAINING, {"learn_from": 10}, "bpe(learn_from=10): take 10000 or more"),
  ],
)
def test_options_that_do_not_fit_are_refused(documents, options, message):
  with pytest.raises(UserError) as caught:
    learned(documents, **options)
  assert str(caught.value).startswith(message)


def test_the_sizes_that_are_named_are_accepted():
  for size in (1, 9_000):
    with pytest.raises(UserError) as caught:
      learned(TRAINING, size)
    words = str(caught.value).partition(": take ")[2]
    number = int("".join(c for c in words.partition(",")[0] if c.isdigit()))
    assert learned(TRAINING, number + (size == 1)).size == number + (size == 1)


def test_a_used_vocabulary_is_sent_as_its_model(vocabulary):
  vocabulary.encode(TEXT)
  assert len(pickle.dumps(vocabulary)) < len(vocabulary.model) + 500


def test_half_of_a_surrogate_pair_is_refused(vocabulary):
  with pytest.raises(UserError, match=r"has '\\ud800' at place 2 \(from 0\)"):
    vocabulary.encode("ab\ud800")


def test_the_library_is_named_if_it_is_not_installed(monkeypatch):
  monkeypatch.setitem(sys.modules, "sentencepiece", None)
  with pytest.raises(UserError, match=r"needs sentencepiece: pip install"):
    learned(TRAINING)
