"""Sampling reads a run's folder alone, and lines of the user as they are."""

import io
import json
import shutil
import types

import pytest

from attention_lab import config as configs
from attention_lab.decode.translator import Translator
from attention_lab.errors import UserError
from attention_lab.mode import sample, train
from attention_lab.run import folder as run_folder
from tests.commands import assert_refused
from tests.corpus import write_corpus
from tests.parts import tiny_config

TEXT = "to be or not to be, that is the question. " * 60
PAIRS = (
  "parallel_text(source='{split}.en', target='{split}.de', vocabulary_size=300, "
  "sequence_length=24, buckets=1)"
)
QUIET = {"log__tensorboard": False, "model__num_layers": 1, "sample__length": 4}


def kept_of(run):
  """Return the names of the files that the run keeps."""
  return set(json.loads((run / "config.json").read_text())["files"])


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
  """A folder with a text, a run on it, and one that holds a part out."""
  folder = tmp_path_factory.mktemp("texts")
  (folder / "text.txt").write_text(TEXT)
  dataset = "text(path='text.txt', sequence_length=8)"
  for name, share in {"run": 0.0, "held_out": 0.25}.items():
    config = tiny_config(
      dataset=dataset, data_dir=str(folder), train__held_out=share, steps=2, **QUIET
    )
    assert train.run(config, str(folder / name)) == 0
  return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
  """A folder with a corpus and a run on it."""
  folder = tmp_path_factory.mktemp("pairs")
  write_corpus(folder)
  config = tiny_config(
    architecture__name="encoder_decoder",
    position="sinusoidal",
    dataset=PAIRS,
    data_dir=str(folder),
    steps=2,
    sample__beam_size=2,
    **QUIET,
  )
  assert train.run(config, str(folder / "run")) == 0
  return folder


@pytest.fixture
def copy(tmp_path):
  """Copy a folder, which the test may change."""
  return lambda folder: shutil.copytree(folder, tmp_path / "copy")


@pytest.fixture
def sampled(capsys):
  """Return what a run prints if its data are looked for in another folder."""

  def run(workdir, data_dir, **settings):
    config = configs.from_stored(run_folder.stored_config(workdir))
    config.data_dir = str(data_dir)
    config.sample.update(settings)
    assert sample.run(config, str(workdir)) == 0
    return capsys.readouterr().out

  return run


def remove(path):
  path.unlink()


def replace(path):
  path.write_text("9876543210 xyz\n" * 60)


@pytest.mark.parametrize("name", ["run", "held_out"])
@pytest.mark.parametrize("change", [remove, replace])
def test_a_text_is_sampled_without_its_data(texts, copy, sampled, name, change):
  folder, cases = copy(texts), ({}, {"prompt": "to be"})
  expected = [sampled(folder / name, folder, **case) for case in cases]
  assert kept_of(folder / name) == {"characters.txt", "prompt.txt"}
  change(folder / "text.txt")
  assert [sampled(folder / name, folder, **case) for case in cases] == expected


def test_a_text_of_an_earlier_version_is_sampled_with_its_data(texts, copy, sampled):
  folder = copy(texts)
  expected = sampled(folder / "run", folder)
  path = folder / "run" / "config.json"
  content = json.loads(path.read_text())
  del content["files"]
  path.write_text(json.dumps(content))
  for name in ("characters.txt", "prompt.txt"):
    (folder / "run" / name).unlink()
  assert sampled(folder / "run", folder) == expected
  (folder / "text.txt").unlink()
  with pytest.raises(UserError, match="No file matches"):
    sampled(folder / "run", folder)


def test_pairs_are_translated_without_their_data(pairs, copy, sampled):
  folder = copy(pairs)
  lines = folder / "lines"
  lines.write_text("der alte Baum\nam Weg\n")
  cases = ({}, {"prompt": "der Weg"}, {"input_file": str(lines)})
  expected = [sampled(folder / "run", folder, **case) for case in cases]
  assert kept_of(folder / "run") == {"vocabulary.model", "prompt.txt"}
  for path in folder.glob("*.??"):
    path.unlink()
  assert [sampled(folder / "run", folder, **case) for case in cases] == expected


def test_an_input_file_needs_no_validation_file(pairs, copy, sampled):
  """A run of an earlier version keeps no prompt."""
  folder = copy(pairs)
  lines = folder / "lines"
  lines.write_text("der alte Baum\n")
  path = folder / "run" / "config.json"
  content = json.loads(path.read_text())
  del content["files"]["prompt.txt"]
  path.write_text(json.dumps(content))
  for side in ("en", "de"):
    (folder / f"valid.{side}").unlink()
  sampled(folder / "run", folder, input_file=str(lines))
  with pytest.raises(UserError, match="there is no file for validation"):
    sampled(folder / "run", folder)


# Lines, marks and bytes that the user gives.


@pytest.fixture
def heard(monkeypatch):
  """The sources that are translated; the answer to each is empty."""
  found = []

  def answers(self, params, texts, on_progress=None):
    found.extend(texts)
    return [[""] for _ in texts]

  monkeypatch.setattr(Translator, "answers", answers)
  return found


LINES = "\ufeffeins\u2028zwei\r\ndrei\x0cvier\n\nfünf\x85sechs\rsieben"
EXPECTED = ["eins\u2028zwei", "drei\x0cvier", "", "fünf\x85sechs\rsieben"]


@pytest.mark.parametrize("source", ["file", "standard input"])
def test_only_a_line_feed_ends_a_line(
  pairs, tmp_path, command, heard, monkeypatch, source
):
  path = tmp_path / "lines"
  path.write_bytes(LINES.encode())
  with monkeypatch.context() as patch:
    stdin = types.SimpleNamespace(buffer=io.BytesIO(LINES.encode()))
    patch.setattr("sys.stdin", stdin)
    name = path if source == "file" else "-"
    words = [f"--workdir={pairs / 'run'}", "--mode=sample", f"--input_file={name}"]
    assert command(*words)[0] == 0
  assert heard == EXPECTED


@pytest.mark.parametrize("flag", ["input_file", "config.evaluation.files"])
@pytest.mark.parametrize(
  ("content", "answer"),
  [
    (b"eins\nzw\xffei\n", " is not UTF-8 text (line 2)."),
    (None, "No such file or directory."),
  ],
)
def test_lines_that_cannot_be_read_are_refused(
  pairs, tmp_path, command, flag, content, answer
):
  path = tmp_path / "lines"
  if content is not None:
    path.write_bytes(content)
  words = [f"--workdir={pairs / 'run'}", f"--data_dir={pairs}"]
  if flag == "input_file":
    result = command(*words, "--mode=sample", f"--{flag}={path}")
  else:
    words += ["--mode=evaluate", "--skip_checks", f"--{flag}=('{path}', '{path}')"]
    result = command(*words)
  assert_refused(result, answer)
  assert_refused(result, f"--{flag}")


def test_files_of_unequal_length_are_refused_before_anything_is_measured(
  pairs, tmp_path, command
):
  (tmp_path / "one").write_text("a\nb\n")
  (tmp_path / "two").write_text("a\n")
  files = f"('{tmp_path / 'one'}', '{tmp_path / 'two'}')"
  words = [f"--workdir={pairs / 'run'}", f"--data_dir={pairs}", "--mode=evaluate"]
  result = command(*words, f"--config.evaluation.files={files}")
  assert_refused(result, "has 2 lines and")


def test_standard_input_that_is_no_text_is_refused(pairs, command, monkeypatch):
  stdin = types.SimpleNamespace(buffer=io.BytesIO(b"\xff\n"))
  monkeypatch.setattr("sys.stdin", stdin)
  words = [f"--workdir={pairs / 'run'}", "--mode=sample", "--input_file=-"]
  assert_refused(command(*words), "standard input is not UTF-8 text (line 1).")


def test_a_mark_at_the_start_of_a_prompt_is_dropped(texts, pairs, command, heard):
  for folder in (texts, pairs):
    words = [f"--workdir={folder / 'run'}", "--mode=sample"]
    assert command(*words, "--prompt=\ufeffto be")[0] == 0
    assert_refused(command(*words, "--prompt=\udcff"), "--prompt is not UTF-8 text.")
  assert heard == ["to be"]


def test_an_answer_is_one_line(pairs, monkeypatch, command):
  monkeypatch.setattr(
    "attention_lab.tokenizer.base.subwords.SubwordVocabulary.decode",
    lambda self, tokens: "eins\nzwei\rdrei",
  )
  words = [f"--workdir={pairs / 'run'}", "--mode=sample", "--prompt=am Weg"]
  assert command(*words)[:2] == (0, "eins zwei drei\n")
