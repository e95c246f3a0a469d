"""Tests that a stored file that is malformed in any way is named in one line."""

import base64
import io
import json
import shutil
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from attention_lab.compare import cells, plan_file, stored_maps, tuning_file
from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.run.checkpoint import Checkpoints
from attention_lab.run.metrics_file import records, unpack
from attention_lab.run.named_arrays import FILES, META
from attention_lab.system import npz
from attention_lab.training.meta import refuse_malformed_meta
from tests.commands import ROOT, assert_refused
from tests.compare import folders
from tests.test_hostile import archive, array, put

ROWS = {"standard": {"attention": "standard"}, "linear": {"attention": "linear"}}
RATES = {"standard": 0.01, "linear": 0.01}
CELL = "cells/standard/seed0"
READERS = {
  f"{CELL}/config.json": lambda root: run_folder.stored(root / CELL),
  f"{CELL}/summary.json": lambda root: cells.summary(root / CELL),
  "compare.json": plan_file.read,
  "tuning.json": tuning_file.read,
  "benchmark.json": plan_file.read_costs,
}
TEXTS = {
  "empty": b"",
  "cut": b'{"config": {"steps": 3',
  "no UTF-8": b'{"config": "\xff"}',
  "UTF-16": '{"config": {}}'.encode("utf-16"),
  "two values": b"{} {}",
  "a comment": b"// x\n{}",
  "a field twice": b'{"config": {}, "config": {}}',
  "nested deeply": b'{"config": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
  "nested less deeply": b'{"config": ' + b"[" * 90 + b"]" * 90 + b"}",
  "a million digits": b'{"config": ' + b"9" * 1_000_000 + b"}",
  "half of a pair": b'{"config": "\\ud800"}',
  "null": b"null",
  "a list": b"[]",
  "a number": b"3",
  "text": b'"config"',
}


@pytest.fixture
def root(tmp_path):
  costs = {"standard": 0.1, "linear": 0.2}
  tune = "train.learning_rate=0.005,0.01"
  return folders.comparison(
    tmp_path / "made", ROWS, [0], stored_costs=costs, tuned=RATES, tune=tune
  )


def refusal(root, file):
  """Return the one line with which the reader of a file refuses it."""
  with pytest.raises(UserError) as error:
    READERS[file](root)
  assert "\n" not in str(error.value)
  assert str(root / file) in str(error.value)
  return str(error.value)


@pytest.mark.parametrize("file", READERS)
def test_file_that_is_no_json_is_named(root, file):
  assert READERS[file](root)
  for text in TEXTS.values():
    (root / file).write_bytes(text)
    refusal(root, file)


HUGE = 10**400
FIELDS = {
  f"{CELL}/config.json": [
    ("config", None, "config is null, expected an object"),
    ("config", ..., "config is missing"),
    ("config", ["steps"], "config is a list, expected an object"),
    ("provenance", "x", "provenance is 'x', expected an object"),
    ("provenance", None, "provenance is null"),
    ("provenance.devices", "cpu", "provenance.devices is 'cpu', expected a list"),
    ("provenance.devices", [1], "provenance.devices[0] is 1, expected text"),
    ("provenance.versions", ["jax"], "provenance.versions is a list"),
    ("provenance.versions", {"jax": 9}, "provenance.versions.jax is 9, expected text"),
    ("provenance.started", 5, "provenance.started is 5, expected text"),
    ("provenance.git_commit", True, "provenance.git_commit is true or false"),
    ("provenance.dataset_sha256", HUGE, "dataset_sha256 is a huge number"),
    ("provenance.from", [], "provenance.from is a list"),
    ("earlier", {}, "earlier is an object, expected a list"),
    ("files", ["x"], "files is a list, expected an object"),
    ("files", {"x": 3}, "files.x is 3, expected text"),
    ("code", "x", "code is 'x', expected a list"),
    ("code", ["x"], "code[0] is 'x', expected an object"),
    ("code", [{"x": []}], "code[0].x is a list, expected text"),
  ],
  f"{CELL}/summary.json": [
    ("steps", "4", "steps is '4', expected a whole number"),
    ("steps", 4.5, "steps is 4.5, expected a whole number"),
    ("steps", True, "steps is true or false, expected a whole number"),
    ("steps", -1, "steps is -1, expected 0 or more"),
    ("steps", 2**70, "steps is a huge number, expected a whole number"),
    ("dataset", ["x"], "dataset is a list, expected text"),
    ("seconds", HUGE, "seconds is a huge number, expected a number"),
    ("seconds", "fast", "seconds is 'fast', expected a number"),
    ("validation", [1.0], "validation is a list, expected an object"),
    ("validation.loss", {}, "validation.loss.value is missing"),
    ("validation.loss", None, "validation.loss is null"),
    ("validation.bleu", {"value": "x"}, "validation.bleu.value is 'x'"),
    ("lengths", {"far": {}}, "lengths.far has a name that is no whole number"),
    ("lengths", {"8": {"loss": []}}, "lengths.8.loss is a list"),
    ("primary", "speed", "primary is 'speed', expected one of"),
    ("leak_check", 1, "leak_check is 1, expected text"),
  ],
  "compare.json": [
    ("rows", ..., "rows is missing"),
    ("rows", {}, "rows is an object, expected a list"),
    ("rows.0", "standard", "rows[0] is 'standard', expected an object"),
    ("rows.0.name", 3, "rows[0].name is 3, expected text"),
    ("rows.0.name", "linear", "two of its rows have the same name"),
    ("rows.0.parameters", "many", "rows[0].parameters is 'many'"),
    ("rows.0.config", [], "rows[0].config is a list"),
    ("rows.0.config", {"steps": "x"}, "--config.steps='x': expected int"),
    ("rows.0.config", {"stesp": 3}, "There is no setting --config.stesp"),
    ("rows.0.against", "linear", "rows[0].against is 'linear', expected a list"),
    ("rows.0.made_from", ..., "rows[0].made_from is missing"),
    ("seeds", 3, "seeds is 3, expected a list"),
    ("seeds", [0.5], "seeds[0] is 0.5, expected a whole number"),
    ("seeds", [-1], "seeds[0] is -1, expected 0 or more"),
    ("steps", None, "steps is null, expected a whole number"),
    ("steps", 0, "steps is 0, expected 1 or more"),
    ("looks", [[]], "looks[0] is a list, expected a whole number"),
    ("margin", "wide", "margin wide: give a difference"),
    ("margin", 3, "margin is 3, expected text"),
    ("about", [], "about is a list, expected text"),
  ],
  "tuning.json": [
    ("standard", [], "standard is a list, expected an object"),
    ("standard.metric", "speed", "standard.metric is 'speed', expected one of"),
    ("standard.metric", "accuracy", "standard.scores has no accuracy"),
    ("standard.chosen", 2, "does not have its scores for each combination"),
    ("standard.chosen", "1", "standard.chosen is '1'"),
    ("standard.chosen", -1, "standard.chosen is -1, expected 0 or more"),
    ("standard.settings", {}, "standard.settings is an object, expected a list"),
    ("standard.settings.0", {"x": 1}, "does not have its scores"),
    ("standard.scores", {}, "does not have its scores"),
    ("standard.scores.loss", [[1.0]], "does not have its scores"),
    ("standard.scores.loss", [[], []], "does not have its scores"),
    ("standard.scores.loss", [["x"], [1]], "standard.scores.loss[0][0] is 'x'"),
    ("standard.more", 1, "standard.more is unknown"),
  ],
  "benchmark.json": [
    ("records", {}, "records is an object, expected a list"),
    ("records", [{}], "records[0].attention is missing"),
    ("rows", [], "rows is a list, expected an object"),
    ("rows.standard", 0.1, "rows.standard is 0.1, expected an object"),
    ("rows.standard.step_seconds", "x", "step_seconds is 'x', expected a number"),
    ("rows.standard.step_seconds", None, "step_seconds is null, expected a number"),
    ("rows.standard.state_bytes", {"x": 1}, "a name that is no whole number"),
  ],
}


def changed(content, field, value):
  """Set a field, such as rows.0.name, of a JSON value; ... removes it."""
  *parents, last = [int(x) if x.isdigit() else x for x in field.split(".")]
  for parent in parents:
    content = content[parent]
  if value is ...:
    del content[last]
  else:
    content[last] = value


@pytest.mark.parametrize("file", FIELDS)
def test_field_that_is_malformed_is_named(root, file):
  text = (root / file).read_text()
  for field, value, answer in FIELDS[file]:
    content = json.loads(text)
    changed(content, field, value)
    (root / file).write_text(json.dumps(content))
    assert answer in refusal(root, file), (field, value)


MODES = ("train", "evaluate", "sample", "compare", "report", "from")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
  ("field", "value"),
  [("provenance.devices", 3), ("config", []), ("code", {}), ("files", 3)],
)
def test_every_mode_names_the_field_of_a_run(tmp_path, command, mode, field, value):
  run, path = tmp_path / "run", tmp_path / "run" / "config.json"
  shutil.copytree(ROOT / "tests" / "stored" / "run", run)
  content = json.loads(path.read_text())
  changed(content, field, value)
  path.write_text(json.dumps(content))
  words = {"report": [f"--mode={mode}", str(run)], "from": [f"--from={run}"]}
  found = command(*words.get(mode, [f"--mode={mode}", f"--workdir={run}"]))
  assert_refused(found, f"{path}: {field}")
  assert path.read_text() == json.dumps(content)


@pytest.mark.parametrize(
  ("field", "value", "answer"),
  [
    ("seed", "x", "--config.seed='x': expected int"),
    ("model", 8, "There is no setting --config.model. It is a section"),
    ("attention", None, "--config.attention=None: expected str"),
    ("stesp", 8, "There is no setting --config.stesp. Did you mean 'steps'?"),
    ("train", {"learning_rate": [1]}, "--config.train.learning_rate=(1,): expected"),
    ("steps", HUGE, "take less than 2147483648"),
    ("plugins", [5], "--config.plugins=(5,): expected tuple of texts"),
    ("plugins", [["x"]], "--config.plugins=(['x'],): expected tuple of texts"),
    ("attention", "standard*3000," * 2000, "characters; a spec has at most"),
  ],
)
def test_malformed_setting_of_a_run_is_named(tmp_path, command, field, value, answer):
  run = tmp_path / "run"
  shutil.copytree(ROOT / "tests" / "stored" / "run", run)
  content = json.loads((run / "config.json").read_text())
  changed(content, f"config.{field}", value)
  (run / "config.json").write_text(json.dumps(content))
  assert_refused(command(f"--workdir={run}"), answer)


def packed(content):
  return base64.b64encode(zlib.compress(content)).decode()


EMPTY = {
  "window": [[], [], [], []],
  "validation": None,
  "validation_loss": None,
  "journal": packed(b"{}"),
  "seconds": 1.0,
  "training_seconds": 1.0,
}
METAS = [
  ("window", ..., "window is missing"),
  ("window", [[], []], "window has 2 items, expected 4"),
  ("window", [[], [], [], ["x"]], "window[3][0] is 'x', expected a number"),
  ("validation", [], "validation is a list"),
  ("validated", [1], "validated has 1 items, expected 2"),
  ("health", {"seen": 1.5}, "health.seen is 1.5, expected a whole number"),
  ("health", {"variance": -1.0}, "health.variance is -1.0, expected 0 or more"),
  ("health", {"mood": 1}, "health.mood is unknown"),
  ("seconds", "x", "seconds is 'x', expected a number"),
  ("seconds", HUGE, "seconds is a huge number"),
  ("journal", 3, "journal is 3, expected text"),
  ("journal", "=?", "journal is damaged"),
  ("journal", "AAAA", "journal is damaged"),
  ("journal", "ü", "journal is damaged"),
  ("identity", [], "identity is a list"),
  ("identity", {"code": {}, "data": "", "step": 1}, "identity.settings is missing"),
  ("identity", {"settings": 1, "code": {}, "data": "", "step": 1}, "settings is 1"),
]


@pytest.mark.parametrize(("field", "value", "answer"), METAS)
def test_meta_data_of_a_checkpoint_are_named(tmp_path, field, value, answer):
  path = tmp_path / "000000009-0123456789abcdef.npz"
  refuse_malformed_meta(path, EMPTY)
  meta = dict(EMPTY)
  changed(meta, field, value)
  with pytest.raises(UserError) as error:
    refuse_malformed_meta(path, meta)
  assert str(error.value).startswith(f"{path}: ")
  assert answer in str(error.value)


LIKE = {"w": np.zeros(3, np.float32)}
WEIGHTS = {"['w'].npy": array(LIKE["w"])}
DAMAGED = {
  **{name: archive(WEIGHTS | {f"{META}.npy": array(np.frombuffer(text, np.uint8))})
     for name, text in TEXTS.items()},
  "no meta data": archive(WEIGHTS),
  "a loss that is text": archive(
    WEIGHTS
    | {f"{META}.npy": array(np.frombuffer(b'{"validation_loss": "x"}', np.uint8))}
  ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_checkpoint_with_malformed_meta_data_counts_as_damaged(tmp_path, capsys, kind):
  checkpoints = Checkpoints(tmp_path, 3)
  checkpoints.save(1, LIKE, {})
  put(tmp_path, DAMAGED[kind])
  assert checkpoints.restore(LIKE, "best").path.name.startswith("000000001")
  assert checkpoints.restore(LIKE).path.name.startswith("000000001")
  assert "is damaged; trying the one before it" in capsys.readouterr().err


def test_member_whose_bytes_differ_from_their_sum_is_damaged(tmp_path):
  content = bytearray(archive(WEIGHTS | {f"{META}.npy": array(np.zeros(2, np.uint8))}))
  content[content.index(LIKE["w"].tobytes())] ^= 1
  with pytest.raises(ValueError, match="damaged|CRC"):
    npz.load(bytes(content))


def peak(call):
  """Return the largest memory that a call allocates, in bytes."""
  tracemalloc.start()
  try:
    call()
    return tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()


def test_journal_that_expands_without_end_takes_little_memory():
  assert unpack("") == b""
  lines = b"".join(b'{"step": %d, "split": "train"}\n' % step for step in range(9999))
  assert unpack(packed(lines)) == lines
  bomb = packed(bytes(2**27))

  def read():
    with pytest.raises(ValueError, match="expands to more than 100 times its size"):
      unpack(bomb)

  assert peak(read) < 2**25


def test_archive_that_expands_without_end_takes_little_memory(tmp_path):
  content = io.BytesIO()
  with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
    for name in ("tokens", "weights"):
      with file.open(f"{name}.npy", "w") as member:
        member.write(array([], (2**27,)))
        for _ in range(128):
          member.write(bytes(2**20))
  path = tmp_path / "maps.npz"
  path.write_bytes(content.getvalue())
  path.with_name("000000009-0123456789abcdef.npz").write_bytes(content.getvalue())

  def read():
    with pytest.raises(UserError, match=r"maps\.npz does not hold attention maps"):
      stored_maps.read(path)

  stored_maps.LARGEST, limit = 2**20, stored_maps.LARGEST
  try:
    assert peak(read) < 2**24
  finally:
    stored_maps.LARGEST = limit


MAPS = {
  "no archive": b"x",
  "no weights": archive({"tokens.npy": array(np.array(["a"]))}),
  "numbers for tokens": archive(
    {
      "tokens.npy": array(np.array([1])),
      "weights.npy": array(np.ones((1, 1, 1, 1), np.float32)),
    }
  ),
  "another number of layers": archive(
    {
      "tokens.npy": array(np.array(["a"])),
      "weights.npy": array(np.ones((1, 1, 1, 1), np.float32)),
      "layers.npy": array(np.array([1, 2])),
    }
  ),
  "shares alone": archive(
    {
      "tokens.npy": array(np.array(["a"])),
      "weights.npy": array(np.ones((1, 1, 1, 1), np.float32)),
      "reference_shares.npy": array(np.ones((1, 1), np.float32)),
    }
  ),
  "shares of another number of layers": archive(
    {
      "tokens.npy": array(np.array(["a"])),
      "weights.npy": array(np.ones((1, 1, 1, 1), np.float32)),
      "reference_layers.npy": array(np.array([1, 2])),
      "reference_shares.npy": array(np.ones((1, 1), np.float32)),
      "reference_uniform.npy": array(np.array(0.5)),
    }
  ),
  "another number of tokens": archive(
    {
      "tokens.npy": array(np.array(["a", "b"])),
      "weights.npy": array(np.ones((1, 1, 1, 1), np.float32)),
    }
  ),
}


@pytest.mark.parametrize("kind", MAPS)
def test_malformed_maps_are_named(tmp_path, kind):
  path = tmp_path / "seed0.maps-1.npz"
  path.write_bytes(MAPS[kind])
  with pytest.raises(UserError, match=r"maps-1\.npz does not hold attention maps"):
    stored_maps.read(path)


@pytest.mark.parametrize(
  "line",
  ["", "{", "[]", "{}", "null", '{"step": "3"}', '{"step": -3}', '{"step": true}',
   '{"step": 3, "loss": []}', '{"step": 3, "split": 5}', "[" * 100_000, "\udcff",
   '{"step": 1' + "0" * 5000 + "}"],
)  # fmt: skip
def test_records_end_at_a_malformed_line(tmp_path, line):
  path = tmp_path / "metrics.jsonl"
  good = '{"step": 1, "split": "train", "loss": "nan"}\n'
  path.write_text(f"{good}{line}\n{good}", "utf-8", "surrogateescape")
  assert [record["step"] for record in records(path)] == [1]


def test_file_of_a_checkpoint_that_is_no_bytes_is_not_used(tmp_path):
  checkpoints = Checkpoints(tmp_path, 3, {"vocabulary": b"ab"})
  checkpoints.save(1, LIKE, {})
  (saved,) = checkpoints.paths()
  assert checkpoints.files() == {"vocabulary": b"ab"}
  with np.load(saved) as arrays:
    members = {f"{name}.npy": array(arrays[name]) for name in arrays}
  members[f"{FILES}vocabulary.npy"] = array(np.array([97.5]))
  put(tmp_path, archive(members))
  assert checkpoints.files()["vocabulary"] != b"ab"
