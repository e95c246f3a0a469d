"""Splits of texts: no document in two of them, and every token once."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from attention_lab.dataset import text as text_dataset
from attention_lab.dataset.base import division
from attention_lab.dataset.base.dataset import datasets
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.vocabulary import separator_of
from tests.dataset.test_text_formats import all_texts, folder, lines, make, texts_of

_ = folder  # The fixture.
TEXTS = [f"{number}: {'ab cde' * (number % 9)}." for number in range(60)]


def write(name, texts):
  Path(name).write_bytes(lines(texts))


def test_documents_of_equal_content_are_in_one_split():
  texts = [*TEXTS, *TEXTS[::2], *TEXTS[::3]]
  write("a.jsonl", texts)
  data = make(path="a.jsonl", validation_fraction=0.2, test_fraction=0.1)
  splits = {split: texts_of(data, split) for split in data.splits}
  assert sorted(all_texts(data)) == sorted(texts)
  assert [len(set(splits[x])) for x in data.splits] == [42, 12, 6]
  assert sum(len(set(found)) for found in splits.values()) == len(set(texts))


def test_more_documents_do_not_move_others_between_splits():
  """A hash of the content decides, so that only the boundary moves."""
  write("a.jsonl", TEXTS)
  write("b.jsonl", [f"new {number}" for number in range(6)] + TEXTS)
  held = [
    set(texts_of(make(path=path), "validation")) for path in ("a.jsonl", "b.jsonl")
  ]
  assert len(held[0] & held[1]) >= len(held[0]) - 2


def test_the_seed_decides_the_order_and_the_split():
  write("a.jsonl", TEXTS)
  orders = [texts_of(make(path="a.jsonl", seed=seed), "train") for seed in (0, 0, 1)]
  assert orders[0] == orders[1]
  assert orders[0] != [text for text in TEXTS if text in orders[0]]
  assert set(orders[0]) != set(orders[2])


def test_files_may_be_for_one_split():
  write("train.jsonl", TEXTS[:40])
  write("held.jsonl", TEXTS[38:50])
  write("test-1.jsonl", TEXTS[48:55])
  write("test-2.jsonl", TEXTS[55:])
  data = make(path="train.jsonl", validation="held.jsonl", test="test-*.jsonl")
  found = {split: sorted(texts_of(data, split)) for split in data.splits}
  assert found == {
    "train": sorted(TEXTS[:38]),
    "validation": sorted(TEXTS[38:48]),
    "test": sorted(TEXTS[48:]),
  }
  note = "train.jsonl: 4 documents that a later split has are left out"
  assert data.described(1) == note


def test_a_file_that_is_its_own_validation_is_refused():
  write("a.jsonl", TEXTS)
  with pytest.raises(UserError, match="train has 0 tokens, too few for windows of 4"):
    make(path="a.jsonl", validation="a.jsonl").size("train")


def test_a_single_text_per_split_has_no_separator_unless_wanted():
  Path("a.txt").write_text("abcdef" * 20)
  Path("b.txt").write_text("fedcba" * 20)
  data = make(path="a.txt", validation="b.txt")
  assert separator_of(data.vocabulary) is None
  assert data.vocabulary.decode(range(6)) == "abcdef"
  assert [data.length(split) for split in data.splits] == [120, 120]
  for path, options in (("a.txt", {"validation": "b.txt"}), ("a.txt", {})):
    wanted = make(path=path, separators=True, **options)
    assert separator_of(wanted.vocabulary) == 6
    assert all(
      wanted.encoded.splits[x].take(np.zeros(1, int), 1) == 6 for x in data.splits
    )
  write("c.jsonl", TEXTS)
  data = make(path="c.jsonl", separators=False)
  assert separator_of(data.vocabulary) is None
  assert data.encoded.facts["train"].tokens == data.encoded.facts["train"].characters


@pytest.mark.parametrize("tokenizer", ["characters", "bytes"])
def test_a_text_in_files_has_the_tokens_of_one_in_memory(monkeypatch, tokenizer):
  words = ["größe", "the", "\r\n", "\n\n", "日本", "a b "]
  content = " ".join(np.random.default_rng(0).choice(words, 3000))
  Path("a.txt").write_bytes(b"\xef\xbb\xbf" + content.encode())
  options = {"path": "a.txt", "tokenizer": tokenizer, "test_fraction": 0.05}
  held = make(**options)
  assert held.encoded.folder is None
  monkeypatch.setattr(text_dataset, "SMALL", 0)
  in_files = make(**options)
  assert in_files.encoded.folder is not None
  assert held.encoded.facts == in_files.encoded.facts
  assert held.fingerprint == in_files.fingerprint
  assert held.files() == in_files.files()
  assert held.described(1) == in_files.described(1)
  for split in held.splits:
    one, other = (
      data.encoded.splits[split].take(np.zeros(1, int), data.length(split))
      for data in (held, in_files)
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe(vocabulary_size=400)"])
def test_every_tokenizer_divides_a_text_at_the_same_place(tmp_path, tokenizer):
  spec = "python_docs(tokenizer={!r}, test_fraction=0.1)"
  one, other = (
    datasets.bind(spec.format(each))(data_dir=str(tmp_path))
    for each in ("characters", tokenizer)
  )
  for split in one.splits:
    texts = [
      data.vocabulary.decode(
        data.encoded.splits[split].take(np.zeros(1, int), data.length(split))[0]
      )
      for data in (one, other)
    ]
    assert texts[0] == texts[1]
    assert one.encoded.facts[split].bytes == other.encoded.facts[split].bytes
  assert one.fingerprint == other.fingerprint
  assert sum(facts.characters for facts in one.encoded.facts.values()) == len(one.text)


def test_enwik8_is_divided_by_bytes(monkeypatch):
  monkeypatch.setattr(division, "ENWIK8", (90, 5, 5))
  content = ("ä" * 45 + "b" * 10).encode()
  Path("enwik8").write_bytes(content)
  data = make(path="enwik8", tokenizer="bytes", split="enwik8")
  assert [data.length(split) for split in data.splits] == [90, 5, 5]
  tokens = data.encoded.splits["train"].take(np.zeros(1, int), 90)
  assert bytes(tokens[0].astype(np.uint8)) == content[:90]
  Path("enwik9").write_bytes(content + b"c")
  with pytest.raises(UserError, match="for one file of 100 bytes.*has 101 bytes in 1"):
    make(path="enwik9", tokenizer="bytes", split="enwik8").size("train")
  with pytest.raises(UserError, match="counts bytes: add tokenizer='bytes'"):
    make(path="enwik8", split="enwik8")


def test_batches_of_documents_tile_the_tokens_over_eight_shards():
  texts = [f"{number:03}" for number in range(300)]  # Distinct targets: text and place.
  write("a.jsonl", texts)
  data = make(path="a.jsonl", sequence_length=5)
  size = data.size("train")
  batch_size = 16
  for epoch in range(2):
    first = -(-epoch * size // batch_size)
    seen = Counter()
    for step in range(first, first + size // batch_size - 1):
      whole = data.batch("train", step, batch_size)
      shards = [data.batch("train", step, batch_size, (i, 8)) for i in range(8)]
      for array, *others in zip(
        whole[:3], *(shard[:3] for shard in shards), strict=True
      ):
        np.testing.assert_array_equal(array, np.concatenate(others))
      seen.update(map(bytes, np.asarray(whole.inputs)))
    assert max(seen.values()) == 1
  predicted = np.concatenate(
    [
      batch.targets[batch.weights > 0]
      for batch in (data.batch("validation", step, 4) for step in range(100))
    ]
  )
  tokens = data.encoded.splits["validation"].take(np.zeros(1, int), 120)[0]
  np.testing.assert_array_equal(predicted, tokens[1 : data.length("validation")])


def test_a_batch_is_the_same_in_another_process_and_order():
  write("a.jsonl", TEXTS)
  options = {"path": "a.jsonl", "sequence_length": 8}
  one, other = make(**options), make(**options)
  steps = [7, 3, 60, 0]
  for step in steps:
    np.testing.assert_array_equal(
      one.batch("train", step, 4).inputs, other.batch("train", step, 4).inputs
    )
    other.batch("validation", step, 2)
  several = one.batches("train", 5, 6, 4)
  np.testing.assert_array_equal(several.inputs[2], other.batch("train", 7, 4).inputs)


def test_a_run_keeps_what_is_needed_without_the_data():
  write("a.jsonl", TEXTS)
  for tokenizer in ("characters", "bytes", "bpe(vocabulary_size=290)"):
    data = make(path="a.jsonl", tokenizer=tokenizer)
    files = data.files()
    without = dataclasses.replace(data, path="removed", kept=files)
    assert without.vocabulary.size == data.vocabulary.size
    assert separator_of(without.vocabulary) == separator_of(data.vocabulary)
    assert without.prompt() == data.prompt() != ""
    text = "abc 123."
    np.testing.assert_array_equal(
      without.vocabulary.encode(text), data.vocabulary.encode(text)
    )
    other = "bytes" if tokenizer == "characters" else "characters"
    with pytest.raises(UserError, match="was trained with tokenizer='.* is to be read"):
      _ = dataclasses.replace(data, tokenizer=other, kept=files).vocabulary


def test_text_with_characters_that_a_run_lacks_is_refused_with_its_place():
  write("a.jsonl", TEXTS)
  kept = make(path="a.jsonl").files()
  write("b.jsonl", [*TEXTS, "größer"])
  with pytest.raises(UserError, match="b.jsonl, line 61: The character 'g' is not in"):
    dataclasses.replace(make(path="b.jsonl"), kept=kept).size("train")


@pytest.mark.parametrize(
  ("options", "answer"),
  [
    ({"test_fraction": 0.9}, r"test_fraction=0.9: take a share from 0 to below 0.9"),
    ({"test_fraction": -0.1}, "test_fraction=-0.1: take a share from 0"),
    ({"validation": "a.txt", "validation_fraction": 0.2}, "omit one of the two"),
    ({"split": "enwik"}, "expected Literal"),
    ({"tokenizer": "character"}, "is not a tokenizer. Did you mean 'characters'"),
    ({"tokenizer": "bytes(x=1)"}, "The tokenizer 'bytes' has no option 'x'"),
    ({"separators": 1}, "separators=1"),
    (
      {"split": "enwik8", "tokenizer": "bytes", "test": "a.txt"},
      "divides one file; omit validation and test",
    ),
  ],
)
def test_options_that_do_not_fit_are_refused(options, answer):
  Path("a.txt").write_text("abcdef" * 20)
  with pytest.raises(UserError, match=answer):
    make(path="a.txt", **options).size("train")


def test_json_lines_hold_any_text():
  texts = ["a\nb\r\nc", 'quote " and \\', "\u2028 and \x1f", "é"] * 3
  Path("a.jsonl").write_text("".join(f"{json.dumps({'text': x})}\n" for x in texts))
  data = make(path="a.jsonl", sequence_length=1)
  assert sorted(all_texts(data)) == sorted(x.replace("\r\n", "\n") for x in texts)
  assert data.described(1) == "a.jsonl: 3 line ends \\r\\n are read as \\n"
