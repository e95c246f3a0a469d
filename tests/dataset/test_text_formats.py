"""Formats of text: files made by the libraries of users, and damaged ones."""

import gzip
import itertools
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from attention_lab.dataset.base.dataset import datasets
from attention_lab.dataset.reader import document, stream
from attention_lab.dataset.reader.document import pieces_of
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.vocabulary import separator_of

TEXTS = [f"{number} größer – 日本\n" * (number % 5 + 1) for number in range(40)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  """Start in an empty folder, with a cache of its own."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def make(**options):
  """Return a dataset with these options."""
  options = {"path": "data", "sequence_length": 4, **options}
  spec = ", ".join(f"{key}={value!r}" for key, value in options.items())
  return datasets.bind(f"text({spec})")(data_dir="")


def texts_of(data, split):
  """Return the documents of a split, in its order."""
  tokens = data.encoded.splits[split].take(np.zeros(1, np.int64), data.length(split))[0]
  starts = np.flatnonzero(tokens == separator_of(data.vocabulary))
  assert starts[0] == 0
  ends = [*starts[1:], len(tokens)]
  return [
    data.vocabulary.decode(tokens[start + 1 : end])
    for start, end in zip(starts, ends, strict=True)
  ]


def all_texts(data):
  return [text for split in data.splits for text in texts_of(data, split)]


def rows(texts):
  return [{"id": number, "text": text} for number, text in enumerate(texts)]


def lines(texts):
  return "".join(f"{json.dumps(row)}\n" for row in rows(texts)).encode()


def write_files(texts):
  for number, text in enumerate(texts):
    place = Path("data", f"{number % 3}")
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{number:03}.txt").write_text(text)
  Path("data", ".hidden.txt").write_text("hidden")
  Path("data", "notes.md").write_text("of another format")


def write_lines(texts):
  Path("data").mkdir()
  Path("data", "a.jsonl").write_bytes(b"\xef\xbb\xbf" + lines(texts[:7]) + b"\n")
  # The file consists of two compressed ones, joined, as `cat` of two makes it.
  content = gzip.compress(lines(texts[7:20])) + gzip.compress(lines(texts[20:]))
  Path("data", "b.jsonl.gz").write_bytes(content)


def write_zstandard(texts):
  zstandard = pytest.importorskip("zstandard")
  Path("data").mkdir()
  compress = zstandard.ZstdCompressor().compress
  content = compress(lines(texts[:9])) + compress(lines(texts[9:]))
  Path("data", "a.jsonl.zst").write_bytes(content)


def write_parquet(texts):
  pyarrow = pytest.importorskip("pyarrow")
  parquet = pytest.importorskip("pyarrow.parquet")
  Path("data").mkdir()
  table = pyarrow.Table.from_pylist(rows(texts))
  parquet.write_table(table, "data/a.parquet", row_group_size=6)


def write_saved(texts):
  library = pytest.importorskip("datasets")
  library.Dataset.from_list(rows(texts)).save_to_disk("data", num_shards=2)


FORMATS = [write_files, write_lines, write_zstandard, write_parquet, write_saved]


@pytest.mark.parametrize("tokenizer", ["characters", "bytes"])
@pytest.mark.parametrize("write", FORMATS)
def test_every_format_has_the_same_documents(write, tokenizer):
  write(TEXTS)
  data = make(tokenizer=tokenizer)
  assert sorted(all_texts(data)) == sorted(TEXTS)
  assert data.encoded.facts["train"].documents == 36
  sizes = [len(text.encode()) for text in texts_of(data, "validation")]
  assert data.encoded.facts["validation"].bytes == sum(sizes)


def test_formats_with_documents_in_one_order_are_the_same_data():
  found = set()
  for write in FORMATS[1:]:
    write(TEXTS)
    data = make()
    found.add((data.fingerprint, *texts_of(data, "validation"), data.vocabulary.size))
    os.rename("data", f"data-{write.__name__}")
  assert len(found) == 1


def test_splits_of_a_saved_dataset_are_the_splits():
  library = pytest.importorskip("datasets")
  parts = {"train": TEXTS[:20], "dev": TEXTS[20:25], "test": TEXTS[25:]}
  library.DatasetDict(
    {name: library.Dataset.from_list(rows(texts)) for name, texts in parts.items()}
  ).save_to_disk("data")
  data = make()
  assert data.splits == ("train", "validation", "test")
  for split, texts in zip(data.splits, parts.values(), strict=True):
    assert sorted(texts_of(data, split)) == sorted(texts)
  with pytest.raises(UserError, match="holds the splits train, dev, test; name the"):
    make(path=f"{os.getcwd()}/data", test="data").size("train")


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_pieces_depend_on_the_content_alone(monkeypatch, size):
  monkeypatch.setattr(document, "PIECE", 32)
  content = ("ab cd\n\nefg\r\nh " * 9 + "größer" * 20 + "\n x\r\n" * 8).encode()
  blocks = [content[i : i + size] for i in range(0, len(content), size)]
  found = list(pieces_of(blocks))
  assert found == list(pieces_of([content]))
  assert b"".join(found) == content
  assert max(map(len, found)) <= 32
  for before, piece in itertools.pairwise(found):
    piece.decode()  # No piece ends within a character, or between \r and \n.
    assert not (before.endswith(b"\r") and piece.startswith(b"\n"))


def test_a_piece_ends_in_front_of_a_line(monkeypatch):
  monkeypatch.setattr(document, "PIECE", 16)
  assert list(pieces_of([b"one two\nthree\nfour five six seven"])) == [
    *(b"one two\nthree", b"\nfour five six", b" seven")
  ]


def write(name, content):
  Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())


def broken_parquet():
  pyarrow = pytest.importorskip("pyarrow")
  parquet = pytest.importorskip("pyarrow.parquet")
  table = pyarrow.Table.from_pylist([{"text": "abc" * 50, "id": 1}] * 100)
  parquet.write_table(table, "whole.parquet")
  write("cut.parquet", Path("whole.parquet").read_bytes()[:-40])
  table = pyarrow.Table.from_pylist([{"text": "abc"}, {"text": None}])
  parquet.write_table(table, "null.parquet")


def broken_files():
  good = lines(["abc", "def"])
  write("cut.jsonl.gz", gzip.compress(good * 50)[:-20])
  write("text.jsonl.gz", good)
  write("list.jsonl", good + b"[1]\n")
  write("number.jsonl", good + b'{"text": 3}\n')
  write("null.jsonl", good + b'{"text": null}\n')
  write("other.jsonl", good + b'{"txet": "a", "id": 3}\n')
  write("half.jsonl", good + b'{"text": "\\ud800"}\n')
  write("cut.jsonl", good + b'\n{"text": "abc')
  write("binary.jsonl", good + b'{"text": "\xff"}\n')
  write("binary.txt", b"abc" * 5 + b"\xff")
  write("empty.txt", b"")
  write("blank.jsonl", b"\n \n")
  write("empty.jsonl", lines(["", ""]))
  write("all.zip", b"PK")
  Path("folder", "deeper").mkdir(parents=True)
  os.mkfifo("pipe")
  write("state.json", "{}")
  Path("saved").mkdir()
  write("saved/state.json", '{"_data_files": 3}')


@pytest.mark.parametrize(
  ("path", "answer"),
  [
    ("cut.jsonl.gz", "cut.jsonl.gz is truncated: its compressed content has no end"),
    ("text.jsonl.gz", "text.jsonl.gz is not a whole .gz file: "),
    ("list.jsonl", "list.jsonl, line 3: expected an object {…}, found a list"),
    ("number.jsonl", "line 3: the field 'text' is the int 3, not a text"),
    ("null.jsonl", "line 3: the field 'text' is null, not a text"),
    ("other.jsonl", "line 3: there is no field 'text'. Did you mean 'txet'? Name it"),
    ("half.jsonl", "line 3: the field 'text' has '\\ud800', half of a pair of UTF-16"),
    ("cut.jsonl", "cut.jsonl, line 4: it is not JSON: Unterminated string starting at"),
    ("binary.jsonl", "binary.jsonl, line 3 is not UTF-8 text (byte 60)"),
    ("binary.txt", "binary.txt is not UTF-8 text (byte 15)"),
    ("empty.txt", "empty.txt is empty"),
    ("blank.jsonl", "blank.jsonl has no text"),
    ("empty.jsonl", "empty.jsonl has no text"),
    ("all.zip", "all.zip is an archive or compressed; unpack it"),
    ("folder", "The folder folder has no file whose name ends in .txt, "),
    ("pipe", "pipe is a pipe, not a regular file"),
    ("/dev/zero", "/dev/zero is a device, not a regular file"),
    ("no*.txt", "No file matches 'no*.txt', searched for from the current folder"),
    ("saved", "state.json is not as save_to_disk of `datasets` writes it"),
    ("cut.parquet", "cut.parquet is not a whole file of Parquet: "),
    ("null.parquet", "null.parquet, row 2: the column 'text' is null, not a text"),
  ],
)
def test_unusable_files_are_refused_in_one_line(path, answer):
  broken_parquet() if path.endswith("parquet") else broken_files()
  with pytest.raises(UserError, match=re.escape(answer)) as error:
    make(path=path).size("train")
  assert "\n" not in str(error.value)


def test_a_missing_column_is_refused_with_those_that_are_there():
  broken_parquet()
  with pytest.raises(UserError, match="no field 'body'. Known: id, text. Name it with"):
    make(path="whole.parquet", field="body").size("train")
  with pytest.raises(UserError, match="the column 'id' holds int64, not text"):
    make(path="whole.parquet", field="id").size("train")


@pytest.mark.parametrize(("library", "name"), [("zstandard", "a.jsonl.zst")])
def test_a_missing_library_is_named(monkeypatch, library, name):
  monkeypatch.setitem(__import__("sys").modules, library, None)
  write(name, b"abc")
  with pytest.raises(
    UserError, match=rf"{name} needs {library}: pip install {library}"
  ):
    make(path=name).size("train")


def test_a_truncated_zstandard_file_is_refused():
  zstandard = pytest.importorskip("zstandard")
  content = zstandard.ZstdCompressor().compress(lines(TEXTS))
  write("cut.jsonl.zst", content[:-9])
  with pytest.raises(UserError, match=r"cut.jsonl.zst is truncated: its compressed"):
    make(path="cut.jsonl.zst").size("train")


def test_compressed_text_is_read_in_blocks(monkeypatch):
  monkeypatch.setattr(stream, "BLOCK", 10)
  write("a.txt.gz", gzip.compress("".join(TEXTS).encode()))
  write("a.txt", "".join(TEXTS))
  one, other = make(path="a.txt.gz"), make(path="a.txt")
  assert one.fingerprint == other.fingerprint
  assert one.files() == other.files()
  for split in one.splits:
    numbers = np.arange(one.size(split))
    for x, y in zip(
      one.examples(split, 0, numbers)[:3],
      other.examples(split, 0, numbers)[:3],
      strict=True,
    ):
      np.testing.assert_array_equal(x, y)
