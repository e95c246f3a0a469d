"""A model exported to safetensors is the same model when it is read again."""

import json
import os
import sys

import numpy as np
import pytest
from safetensors import numpy as safetensors

import attention_lab as al
from attention_lab.errors import UserError
from attention_lab.run import exported
from tests.api.cells import MINE, define

TOKENS = np.array([[0, 1, 8, 0]])


@pytest.fixture(scope="module")
def file(run, tmp_path_factory):
  return al.load(run).save(tmp_path_factory.mktemp("export") / "model.safetensors")


def header_of(content):
  """Return the header of a file, and the bytes after it."""
  size = int.from_bytes(content[:8], "little")
  return json.loads(content[8 : 8 + size]), content[8 + size :]


def with_header(header, rest):
  text = json.dumps(header).encode()
  return len(text).to_bytes(8, "little") + text + rest


def described(content, **values):
  """Return a file whose description has other values, with the digest that it needs."""
  header, _ = header_of(content)
  about = json.loads(header["__metadata__"]["attention_lab"]) | values
  text = json.dumps(about)
  arrays = safetensors.load(content)
  digest = exported._digest(text, arrays)
  return safetensors.save(arrays, {"attention_lab": text, "sha256": digest})


def refusal(path):
  with pytest.raises(UserError) as error:
    al.load(path)
  assert "\n" not in str(error.value)
  return str(error.value)


def test_a_model_of_a_file_equals_that_of_the_folder(run, file, recwarn):
  first, second = al.load(run), al.load(file)
  assert repr(first) == repr(second)
  assert first.config.to_dict() == second.config.to_dict()
  assert (second.step, second.folder, first.code) == (4, None, second.code)
  np.testing.assert_array_equal(first.logits(TOKENS), second.logits(TOKENS))
  prompt = {"prompt": "ab|", "length": 4, "seed": 1}
  assert (
    first.generate(**prompt) == second.generate(**prompt) == al.sample(file, **prompt)
  )
  assert not recwarn.list


def test_a_file_can_be_evaluated_and_saved_again(run, file, tmp_path):
  found = al.evaluate(file)
  summary = json.loads((run / "summary.json").read_text())
  assert found.validation.loss == summary["validation"]["loss"]
  assert found.record["checkpoint"].startswith("000000004-")
  again = al.load(file).save(tmp_path / "again.safetensors")
  about = [header_of(path.read_bytes())[0]["__metadata__"] for path in (file, again)]
  assert about[0] == about[1]


def test_other_tools_read_the_arrays(run, file):
  arrays = safetensors.load_file(file)
  parameters = al.load(run).parameters
  assert len(arrays) == sum(map(len, parameters.values()))
  for module, names in parameters.items():
    for name, array in names.items():
      np.testing.assert_array_equal(arrays[f"{module}/{name}"], array)


def test_a_mean_of_checkpoints_and_other_parameters_are_saved(run, tmp_path):
  model = al.load(run, average=2)
  model.parameters = {
    module: {name: array + 1 for name, array in names.items()}
    for module, names in model.parameters.items()
  }
  other = al.load(model.save(tmp_path / "mean.safetensors"))
  np.testing.assert_array_equal(model.logits(TOKENS), other.logits(TOKENS))
  assert len(other.evaluate(skip_checks=True).record["averaged"]) == 2


def test_a_model_in_memory_with_a_class_is_saved(trained, tmp_path):
  model = trained.result.model
  path = model.save(tmp_path / "mine.safetensors")
  assert "'my_attention' is not an attention" in refusal(path)
  loaded = al.load(path, attention=trained.cls)
  np.testing.assert_array_equal(model.logits(TOKENS), loaded.logits(TOKENS))
  assert al.sample(path, "a|", length=1, attention=trained.cls).text
  with pytest.warns(UserWarning, match=r"The code of the run in .*mine\.safetensors"):
    other = al.load(path, attention=define(MINE, SCALE=3.0))
  with pytest.raises(UserError, match="checkpoint__changed_code='accept'"):
    other.evaluate()


def test_the_files_of_a_vocabulary_travel_with_the_model(file, monkeypatch, tmp_path):
  model = al.load(file)
  kept = {"vocabulary.json": bytes(range(256))}
  monkeypatch.setattr(type(model.experiment.dataset), "files", lambda _: kept)
  path = model.save(tmp_path / "kept.safetensors")
  assert al.load(path).experiment.dataset.kept == kept


def test_other_data_is_not_evaluated(file, tmp_path):
  path = tmp_path / "other.safetensors"
  path.write_bytes(described(file.read_bytes(), data="0" * 64))
  with pytest.raises(UserError, match=r"data has changed.*then.*now"):
    al.evaluate(path)


def test_a_link_is_replaced_and_not_followed(run, tmp_path):
  target, link = tmp_path / "target", tmp_path / "link.safetensors"
  target.write_text("mine")
  link.symlink_to(target)
  al.load(run).save(link)
  assert target.read_text() == "mine"
  assert not link.is_symlink()


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("model.npz", "name a file that ends in .safetensors"),
    ("nowhere/model.safetensors", "Cannot write to "),
    ("folder.safetensors", "Cannot write to "),
  ],
)
def test_where_nothing_can_be_written_is_said_in_one_line(run, name, message, tmp_path):
  (tmp_path / "folder.safetensors").mkdir()
  with pytest.raises(UserError) as error:
    al.load(run).save(tmp_path / name)
  assert message in str(error.value)
  assert "\n" not in str(error.value)


def test_a_missing_library_is_named(run, file, monkeypatch):
  monkeypatch.setitem(sys.modules, "safetensors", None)
  model = al.load(run)
  for call in (model.save, al.load):
    with pytest.raises(UserError, match=r"pip install safetensors.*\[export\]"):
      call(file)


def flipped(content):
  return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


def huge(content):
  return (2**62).to_bytes(8, "little") + content[8:]


def without_metadata(content):
  return safetensors.save(safetensors.load(content))


def numbers_as_metadata(content):
  header, rest = header_of(content)
  return with_header(header | {"__metadata__": {"a": 1}}, rest)


def with_other_step(content):
  header, rest = header_of(content)
  text = header["__metadata__"]["attention_lab"]
  header["__metadata__"]["attention_lab"] = text.replace('"step": 4', '"step": 5')
  return with_header(header, rest)


def without_an_array(content):
  arrays, (header, _) = safetensors.load(content), header_of(content)
  del arrays[min(arrays)]
  text = header["__metadata__"]["attention_lab"]
  digest = exported._digest(text, arrays)
  return safetensors.save(arrays, {"attention_lab": text, "sha256": digest})


def overlapping(content):
  header, rest = header_of(content)
  names = [name for name in header if name != "__metadata__"]
  header[names[0]]["data_offsets"] = header[names[1]]["data_offsets"]
  return with_header(header, rest)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda x: b"", "is not a complete safetensors file (it is cut off)"),
    (lambda x: x[:100], "is not a complete safetensors file (it is cut off)"),
    (lambda x: x[:-1], "is not a complete safetensors file"),
    (lambda x: x + b"0", "is not a complete safetensors file"),
    (huge, "its header is larger than 67,108,864 bytes"),
    (lambda x: b"\x80\x04" + x, "is not a complete safetensors file"),
    (lambda x: with_header([], b""), "its metadata are not texts by name"),
    (numbers_as_metadata, "its metadata are not texts by name"),
    (overlapping, "is not a complete safetensors file"),
    (without_metadata, "holds no model of attention_lab"),
    (flipped, "is damaged: its content has another sha256"),
    (with_other_step, "is damaged: its content has another sha256"),
    (without_an_array, "is of another model: it has no "),
    (lambda x: described(x, step=-1), "step is -1, expected 0 or more"),
    (lambda x: described(x, config=[]), "config is a list, expected an object"),
    (lambda x: described(x, config={"stepz": 3}), "There is no setting"),
    (lambda x: described(x, files={"a": "?"}), "files.a is not base64"),
    (lambda x: described(x, config={"plugins": ["/x/mine.py"]}), "trust_plugins=True"),
  ],
)
def test_wrong_files_are_answered_in_one_line(file, change, message, tmp_path):
  path = tmp_path / "wrong.safetensors"
  path.write_bytes(change(file.read_bytes()))
  assert message in refusal(path)


def test_what_is_no_file_is_answered_in_one_line(file, tmp_path):
  pipe = tmp_path / "pipe.safetensors"
  os.mkfifo(pipe)
  assert "is not a regular file" in refusal(pipe)
  assert "No such file" in refusal(tmp_path / "nowhere.safetensors")
  with pytest.raises(UserError, match="holds one step; omit checkpoint"):
    al.load(file, "best")
