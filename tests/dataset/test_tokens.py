"""Token files: each token once, over files and shards; layouts; mistakes in one line."""

import functools
import json
import os
import re
import shutil

import numpy as np
import pytest
from absl.testing import flagsaver

from attention_lab.dataset.base import shards
from attention_lab.dataset.base.dataset import datasets, each_array, num_batches
from attention_lab.dataset.base.held_out import hold_out
from attention_lab.errors import UserError
from tests.commands import TINY, assert_refused

LENGTHS = (50, 1, 3, 77)  # Of the training files; some are shorter than a window.
TRAIN = np.arange(sum(LENGTHS))  # All distinct.
VALIDATION = np.arange(30) + 7


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  """A folder with files for both splits, which is the current one."""
  monkeypatch.chdir(tmp_path)
  pieces = np.split(TRAIN, np.cumsum(LENGTHS)[:-1])
  for number, piece in enumerate(pieces):
    piece.astype(np.uint16).tofile(tmp_path / f"train_{number}.bin")
  VALIDATION.astype(np.uint16).tofile(tmp_path / "validation.bin")
  return tmp_path


def tokens(train="train_*.bin", validation="validation.bin", **options):
  """Return a dataset of token files."""
  options = {"sequence_length": 4, "train": train, "validation": validation, **options}
  spec = ", ".join(f"{key}={value!r}" for key, value in options.items())
  return datasets.bind(f"tokens({spec})")(data_dir="")


def shard(path, ids, magic=20240520, version=1, count=None):
  """Write a shard of modded-nanogpt."""
  header = np.zeros(256, np.int32)
  header[:3] = magic, version, len(ids) if count is None else count
  path.write_bytes(header.tobytes() + np.asarray(ids, np.uint16).tobytes())


@pytest.mark.parametrize("length", [1, 4, 7, 28])
def test_a_training_pass_tiles_the_files_over_eight_shards(length):
  data = tokens(sequence_length=length)
  size = data.size("train")
  seen, count = [], 4 * size // 8 + 1
  for step in range(count):
    parts = [data.batch("train", step, 8, (i, 8)) for i in range(8)]
    together = each_array(lambda *arrays: np.concatenate(arrays), *parts)
    assert (together.targets == together.inputs + 1).all()  # Also between files.
    assert together.weights.all()
    seen += together.targets.tolist()
  starts = set()
  for epoch in range(4):
    targets = np.ravel(sorted(seen[epoch * size : (epoch + 1) * size]))
    np.testing.assert_array_equal(targets, np.arange(len(targets)) + targets[0])
    assert len(TRAIN) - len(targets) <= 2 * length  # Before and behind the windows.
    starts.add(targets[0])
  assert len(starts) > 1 or length == 1


def test_a_window_of_few_tokens_stays_within_them(folder):
  shard(folder / "long.bin", TRAIN)
  data = tokens(train="train_3.bin", validation="long.bin", sequence_length=60)
  for step in range(30):
    batch = data.batch("train", step, 1)
    assert (batch.targets == batch.inputs + 1).all()
    assert batch.weights.all()


@pytest.mark.parametrize("length", [1, 4, 7])
def test_validation_and_test_predict_every_token_after_the_first_once(length):
  data = tokens(sequence_length=length, test="train_3.bin", train="train_0.bin")
  assert data.splits == ("train", "validation", "test")
  for split, expected in (("validation", VALIDATION), ("test", TRAIN[-77:])):
    predicted = []
    for step in range(num_batches(data, split, 3)):
      batch = data.batch(split, step, 3)
      predicted += batch.targets[batch.weights > 0].tolist()
    assert predicted == expected[1:].tolist()


def test_steps_in_one_call_and_a_part_held_out_have_the_same_windows():
  data = tokens()
  one = [data.batch("train", step, 8).inputs for step in range(9)]
  np.testing.assert_array_equal(data.batches("train", 0, 9, 8).inputs, one)
  held = hold_out(data, 0.25)
  trained, validated = (
    held.examples(split, 0, np.arange(held.size(split))).targets
    for split in ("train", "validation")
  )
  assert not set(trained.ravel()) & set(validated.ravel())


def save(path, dtype):
  np.save(path.with_suffix(".npy"), VALIDATION.astype(dtype))


@pytest.mark.parametrize(
  "write",
  [
    functools.partial(shard, ids=VALIDATION),
    *(
      functools.partial(save, dtype=dtype)
      for dtype in ("uint8", "uint16", "uint32", "int32", "int64", ">i4", ">u2")
    ),
  ],
)
def test_every_layout_has_the_same_tokens(folder, write):
  expected = tokens()
  write(folder / "other.bin")
  (found,) = folder.glob("other.*")
  data = tokens(validation=str(found))
  assert data.vocabulary.size == expected.vocabulary.size
  for step in range(2):
    pair = [each.batch("validation", step, 4) for each in (data, expected)]
    np.testing.assert_array_equal(pair[0].inputs, pair[1].inputs)
    np.testing.assert_array_equal(pair[0].targets, pair[1].targets)
    assert pair[0].inputs.dtype == np.int32


def test_a_name_with_brackets_folders_and_data_dir_are_searched(folder):
  (folder / "a" / "b" / "c").mkdir(parents=True)
  shutil.copy("train_0.bin", "a/b/x[1].bin")
  shutil.copy("train_3.bin", "a/b/c/y.bin")
  assert len(tokens(train="a/b/x[1].bin").fingerprint) == 64
  assert tokens(train="a/**/*.bin").length("train") == 127
  spec = "tokens(train='b/x[1].bin', validation='../validation.bin')"
  assert datasets.bind(spec)(data_dir="a", sequence_length=4).length("train") == 50
  os.symlink("b/x[1].bin", "a/link.bin")  # As caches of downloads have them.
  assert tokens(train="a/link.bin").length("train") == 50


def test_the_vocabulary_is_set_or_kept_or_found_and_said():
  found = tokens()
  assert found.vocabulary.size == 131
  assert "131 in train, 30 in validation" in found.described(1)
  assert found.described(1).endswith("vocabulary of 131 (largest found: 130)")
  assert tokens(test="train_0.bin", train="train_3.bin").vocabulary.size == 131
  assert tokens(vocabulary_size=200).described(1).endswith("vocabulary of 200")
  kept = tokens(vocabulary_size=200).files()
  other = tokens()
  other.kept = kept
  assert other.vocabulary.size == 200
  assert other.vocabulary.decode([3, 130]) == "3 130"
  small = tokens()
  small.kept = {**kept, "vocabulary_size.txt": b"100"}
  with pytest.raises(UserError, match=r"train_3\.bin has the token 130 at place 76 "):
    small.size("train")


def test_the_fingerprint_follows_the_files_and_their_order(folder):
  first = tokens().fingerprint
  assert tokens(test="train_0.bin").fingerprint == first
  os.rename("train_0.bin", "train_9.bin")
  assert tokens().fingerprint != first
  os.rename("train_9.bin", "train_0.bin")
  assert tokens().fingerprint == first
  content = bytearray((folder / "validation.bin").read_bytes())
  content[0] += 1
  (folder / "validation.bin").write_bytes(content)
  assert tokens().fingerprint != first


def test_a_file_that_changes_during_training_is_refused(folder):
  data = tokens()
  data.batch("train", 0, 4)
  (folder / "train_3.bin").write_bytes(bytes(200))
  with pytest.raises(UserError, match=r"train_3\.bin has changed while"):
    data.batch("train", 0, 100)


@pytest.mark.parametrize("header", [0, 1024])
@pytest.mark.parametrize("places", [[3, 62], [62], [99]])
def test_the_largest_token_is_found_in_any_block(folder, monkeypatch, header, places):
  monkeypatch.setattr(shards, "BLOCK", 16)
  ids = np.arange(100)
  ids[places] = 500
  shard(folder / "x.bin", ids)
  content = (folder / "x.bin").read_bytes()
  (folder / "x.bin").write_bytes(content[1024 - header :])
  with pytest.raises(UserError, match=f"the token 500 at place {places[0]} "):
    tokens(train="x.bin", vocabulary_size=500).size("train")


def cut(path, size):
  path.write_bytes(path.read_bytes()[:size])


def npy(path, array, **options):
  np.save(path, array, **options)


def header_alone(path, text):
  head = text.encode().ljust(117) + b"\n"
  path.write_bytes(b"\x93NUMPY\x01\x00" + bytes([len(head), 0]) + head)


MISTAKES = {
  "odd": ("x.bin", lambda p: p.write_bytes(bytes(201)), "has 201 bytes, an odd number"),
  "empty": ("x.bin", lambda p: p.write_bytes(b""), "x.bin holds no token."),
  "empty shard": ("x.bin", lambda p: shard(p, []), "x.bin holds no token."),
  "version": (
    "x.bin",
    lambda p: shard(p, TRAIN, version=2),
    "has a header of magic 20240520, version 2; readable are magic 20240520, version 1",
  ),
  "magic": (
    "x.bin",
    lambda p: shard(p, TRAIN, magic=20240801, version=7),
    "has a header of magic 20240801, version 7; readable",
  ),
  "count": (
    "x.bin",
    lambda p: shard(p, TRAIN, count=132),
    "header says 132 tokens, but 262 bytes follow instead of 264",
  ),
  "negative count": ("x.bin", lambda p: shard(p, [], count=-1), "says -1 tokens"),
  "cut header": (
    "x.bin",
    lambda p: (shard(p, []), cut(p, 100)),
    "x.bin is truncated: its header has 1,024 bytes",
  ),
  "float": ("x.npy", lambda p: npy(p, np.ones(9)), "x.npy holds float64; tokens are"),
  "bool": ("x.npy", lambda p: npy(p, np.ones(9, bool)), "x.npy holds bool;"),
  "int16": ("x.npy", lambda p: npy(p, np.ones(9, np.int16)), "x.npy holds int16;"),
  "object": ("x.npy", lambda p: npy(p, np.array([{}] * 9)), "x.npy holds object;"),
  "matrix": ("x.npy", lambda p: npy(p, np.ones((3, 4), int)), "has the shape [3, 4]"),
  "scalar": ("x.npy", lambda p: npy(p, np.array(3)), "has the shape []"),
  "empty array": ("x.npy", lambda p: npy(p, TRAIN[:0]), "x.npy holds no token."),
  "cut array": ("x.npy", lambda p: (npy(p, TRAIN), cut(p, 500)), "needs 1,176 bytes"),
  "no array": ("x.npy", lambda p: p.write_text("text"), "not an array that numpy.save"),
  "bad header": ("x.npy", lambda p: header_alone(p, "{[]: ("), "not an array that"),
  "bad key": ("x.npy", lambda p: header_alone(p, "{[]: 1}"), "not an array that"),
  "text": ("x.txt", lambda p: p.write_text("text"), "ends in .bin or .npy"),
  "folder": ("x.bin", lambda p: p.mkdir(), "is a folder; name its files, as 'x.bin/*"),
  "pipe": ("x.bin", os.mkfifo, "x.bin is not a regular file"),
  "no end": ("x.bin", lambda p: p.symlink_to("x.bin"), "Too many levels of symbolic"),
  "dangling": ("x.bin", lambda p: p.symlink_to("y"), "Cannot read x.bin: No such file"),
  "short": ("x.bin", lambda p: p.write_bytes(bytes(8)), "'x.bin' has 4 tokens, fewer"),
  "negative": (
    "x.npy",
    lambda p: npy(p, np.array([3, -2, 900, 1, 5])),
    "x.npy has the token -2 at place 1 (from 0)",
  ),
  "large": (
    "x.npy",
    lambda p: npy(p, TRAIN + 2**40),
    "token 1099511627906 at place 130",
  ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_file_that_is_no_token_file_is_refused_in_one_line(folder, mistake):
  name, write, answer = MISTAKES[mistake]
  write(folder / name)
  for split in ("train", "validation"):
    with pytest.raises(UserError, match=re.escape(answer)) as error:
      tokens(**{split: name}).size(split)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
  ("options", "answer"),
  [
    ({"train": "no_*.bin"}, "No file matches 'no_*.bin'"),
    ({"validation": ""}, "No file matches ''"),
    ({"train": "a\0b"}, "No file matches 'a\\x00b'"),
    ({"train": "*.bin"}, "validation.bin of validation has the content of validation"),
    ({"test": "train_3.bin"}, "train_3.bin of test has the content of train_3.bin of"),
    ({"vocabulary_size": 130}, "train_3.bin has the token 130 at place 76 (from 0)"),
    ({"vocabulary_size": 65_537}, "tokens of uint16, at most 65,535: they were cut"),
    ({"vocabulary_size": 1}, "vocabulary_size=1: take 2 to 1,000,000"),
    ({"separator": 131}, "separator=131 is outside the vocabulary of 131 tokens"),
    ({"sequence_length": 30}, "'validation.bin' has 30 tokens, fewer than a window of"),
    ({"sequence_length": 0}, "sequence_length=0: take 1 or more"),
    ({"seed": -1}, "seed=-1: take 0 or more"),
  ],
)
def test_options_that_do_not_fit_the_files_are_refused(options, answer):
  with pytest.raises(UserError, match=re.escape(answer)) as error:
    tokens(**options).size("train")
  assert "\n" not in str(error.value)


def test_data_of_zeros_are_refused(folder):
  for name, size in (("a.bin", 100), ("b.bin", 50)):
    (folder / name).write_bytes(bytes(size))
  with pytest.raises(UserError, match="Every token of the data is 0"):
    _ = tokens(train="a.bin", validation="b.bin").vocabulary


def test_an_unreadable_file_is_refused(monkeypatch):
  def refuse(path, *words, **options):
    raise PermissionError(13, "Permission denied", path)

  data = tokens(validation="train_1.bin")
  monkeypatch.setattr(shards, "open", refuse, raising=False)  # Root may read any file.
  with pytest.raises(UserError, match=r"Cannot read .*: Permission denied"):
    data.size("train")


def test_a_run_resumes_and_is_sampled_from_without_its_data(command, folder):
  dataset = "--dataset=tokens(train='train_*.bin', validation='validation.bin', "
  words = [
    *TINY[1:],
    f"{dataset}sequence_length=8)",
    "--skip_checks",
    "--position=none",
    "--config.train.optimizer=sgd",
    "--config.train.steps_per_call=1",
    "--config.sample.length=2",
    "--workdir=run",
  ]
  status, out, err = command(*words, "--steps=2")
  assert (status, err.count("error")) == (0, 0), err
  assert "vocabulary of 131 (largest found: 130)" in out
  assert command(*words, "--steps=3")[0] == 0  # The second pass begins.
  test = (
    dataset.replace("train_*", "train_0") + "test='train_3.bin', sequence_length=8)"
  )
  with flagsaver.flagsaver():
    run = functools.partial(
      command, "--workdir=run", "--mode=evaluate", "--config.evaluation.split=test"
    )
    assert_refused(run(), "has the splits train, validation.")
    long = run(test, "--config.evaluation.stride=9")
    assert_refused(long, "windows of 8 tokens that start so far apart leave tokens out")
    status, out, err = run(test, "--config.evaluation.stride=3")
  assert (status, err.count("error")) == (0, 0), err
  assert re.search(r"^step 3  test at stride 3: loss .* nats, accuracy", out, re.M)
  found = json.loads((folder / "run" / "evaluation.json").read_text())
  assert found["test"]["stride"] == 3
  assert not {"train", "validation", "bits_per_byte"} & {*found, *found["test"]}
  (folder / "validation.bin").write_bytes(bytes(60))
  assert_refused(command("--workdir=run", "--steps=4"), "The data has changed since")
  for path in folder.glob("*.bin"):
    path.unlink()
  status, out, err = command("--workdir=run", "--mode=sample")
  assert (status, err) == (0, "")
  assert re.search(r"\[7\] ?\d+ \d+$", out.strip()), out
  refused = command("--workdir=run", "--mode=sample", "--prompt=12 131")
  assert_refused(refused, "'131' is not in this dataset's vocabulary: 0 1 2 … 130")
