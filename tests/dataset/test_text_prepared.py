"""Token files of texts: the same bytes after kills, in several processes, or refused."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from attention_lab.dataset.base import corpus, encoder
from attention_lab.dataset.base.division import Piece
from attention_lab.dataset.base.encoder import Encoding, encoded
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary
from tests.commands import ROOT, TINY, assert_refused
from tests.dataset.test_text_formats import folder, lines, make, texts_of
from tests.dataset.text_process import make_small

_ = folder  # The fixture.
TEXTS = [str(number) + "ab cdé\n" * (number % 70) for number in range(90)]
SPEC = "text(path='a.jsonl', test_fraction=0.1, sequence_length=8)"
OPTIONS = {"path": "a.jsonl", "test_fraction": 0.1, "sequence_length": 8}


@pytest.fixture(autouse=True)
def small(monkeypatch):
  make_small(monkeypatch.setattr)


@pytest.fixture
def data():
  """Write a text of many documents."""
  Path("a.jsonl").write_bytes(lines(TEXTS))


def start(cache, *words):
  """Start a process that prepares the text, with a cache of its own."""
  environment = os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)}
  return subprocess.Popen(
    [sys.executable, "-m", "tests.dataset.text_process", SPEC, *words],
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def prepare(cache, *words):
  """Return exit status and output of a process that prepares the text."""
  process = start(cache, *words)
  out, err = process.communicate()
  return process.returncode, out, err


def content(cache):
  """Return the token files below a folder, with those that describe them."""
  return {
    str(path.relative_to(cache)): path.read_bytes()
    for path in sorted(Path(cache).rglob("*/tokens/*/*"))
    if not path.name.startswith(".")
  }


def test_a_killed_preparation_goes_on_and_gives_the_same_bytes(data):
  status, out, err = prepare("whole")
  assert (status, err) == (0, "")
  saved = int(out.split()[1])
  expected = content("whole")
  files = [Path(name).name for name in expected]
  assert {"train-00001.npy", "test-00000.npy", "index.json", "sha256.json"} <= {*files}
  again = 0
  for limit in (1, 9, saved - 2, saved - 1):
    status, _, _ = prepare(f"cut-{limit}", str(limit))
    assert status == -signal.SIGKILL
    assert not list(Path(f"cut-{limit}").rglob("*/tokens/*/sha256.json"))
    status, out, err = prepare(f"cut-{limit}")
    assert (status, err) == (0, "")
    assert content(f"cut-{limit}") == expected
    again += int(out.split()[1]) < saved
  assert again == 3  # All but the one that was killed within the first group.


def test_of_two_processes_one_prepares_and_the_other_waits(data):
  running = [start("cache-of-two") for _ in range(2)]
  found = [process.communicate() for process in running]
  assert [process.returncode for process in running] == [0, 0], found
  counts = sorted(int(out.split()[1]) for out, _ in found)
  assert counts[0] == 0 < counts[1]


def test_a_full_disk_is_one_line(data, monkeypatch):
  code = (
    "import resource, sys; from tests.dataset import text_process as t; "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)); "
    "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    f"t.main({SPEC!r})"
  )
  environment = os.environ | {"XDG_CACHE_HOME": "full", "PYTHONPATH": str(ROOT)}
  found = subprocess.run(
    [sys.executable, "-c", code],
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )
  last = found.stderr.splitlines()[-1]
  assert "UserError: Cannot write to full/" in last
  assert last.endswith("File too large. Name another folder with --data_dir=...")


def units(texts):
  return [
    [Piece(0, f"text {number}", text.encode())] for number, text in enumerate(texts)
  ]


def test_several_processes_give_the_tokens_of_one():
  encoding = Encoding(CharacterVocabulary.of("".join(TEXTS)), True, "uint8")
  found = [
    [
      tokens
      for unit in encoded(units(TEXTS), encoding, 1, processes)
      for tokens in unit
    ]
    for processes in (1, 2)
  ]
  assert len(found[0]) == len(found[1]) == len(TEXTS)
  for one, other in zip(*found, strict=True):
    np.testing.assert_array_equal(one, other)
    assert one.dtype == other.dtype == np.uint8


def test_a_mistake_in_another_process_names_its_place():
  encoding = Encoding(CharacterVocabulary("ab"), True, "uint8")
  with pytest.raises(UserError, match="text 2: The character 'c' is not in"):
    list(encoded(units(["ab", "a", "abc", "b"]), encoding, 1, 2))


def test_a_process_that_ends_is_reported(monkeypatch):
  monkeypatch.setattr(encoder.sys, "executable", "/bin/false")
  encoding = Encoding(CharacterVocabulary("ab"), True, "uint8")
  with pytest.raises(
    UserError, match="A process that encodes text ended with status 1"
  ):
    list(encoded(units(["ab"] * 9), encoding, 1, 2))


def test_processes_are_used_where_they_pay(data, monkeypatch):
  used = []
  monkeypatch.setattr(
    encoder, "_Worker", lambda encoding: used.append(1) or Local(encoding)
  )
  monkeypatch.setattr(encoder.os, "cpu_count", lambda: 3)
  encoding = Encoding(CharacterVocabulary.of("".join(TEXTS)), True, "uint8")
  for total, expected in ((1, 0), (10**12, 3)):
    list(encoded(units(TEXTS), encoding, total, None))
    assert len(used) == expected

  class Own(CharacterVocabulary):
    """Defined where no other process can import it."""

  used.clear()
  local = encoding._replace(vocabulary=Own(encoding.vocabulary.characters))
  list(encoded(units(TEXTS), local, 10**12, None))
  assert not used


class Local:
  """A worker in this process."""

  def __init__(self, encoding):
    self.encode = encoding.encode

  def close(self):
    pass


def test_files_are_read_again_only_after_a_change(data, monkeypatch):
  monkeypatch.setattr(corpus, "SETTLED", -10.0)
  first = make(**OPTIONS)
  order = texts_of(first, "train")
  with monkeypatch.context() as patched:
    patched.setattr(corpus, "sha256_of", lambda path: pytest.fail("read again"))
    patched.setattr(corpus, "scan", lambda *_: pytest.fail("read again"))
    assert texts_of(make(**OPTIONS), "train") == order
  status = os.stat("a.jsonl")
  changed = Path("a.jsonl").read_bytes().replace(b"ab", b"ba")
  Path("a.jsonl").write_bytes(changed)
  os.utime("a.jsonl", ns=(status.st_atime_ns, status.st_mtime_ns))
  other = make(**OPTIONS)  # Size and time of the content are those of before.
  assert other.fingerprint != first.fingerprint
  assert any("ba cd" in text for text in texts_of(other, "train"))


def test_a_file_that_has_just_changed_is_not_remembered(data):
  make(**OPTIONS).size("train")
  assert not list(Path("cache").rglob("sources/*.json"))


def test_damaged_files_are_refused(data):
  path = next(iter(make(**OPTIONS).encoded.folder.glob("train-*.npy")))
  content = bytearray(path.read_bytes())
  content[-1] ^= 1
  path.write_bytes(content)
  with pytest.raises(UserError, match=r"are damaged\. Remove that folder to make them"):
    make(**OPTIONS).size("train")
  path.write_bytes(content[:-1])
  with pytest.raises(UserError, match=r"are damaged\. Remove that folder to make them"):
    make(**OPTIONS).size("train")


def test_files_that_change_during_training_are_noticed(data):
  found = make(**OPTIONS)
  found.batch("train", 0, 2)
  for path in found.encoded.folder.glob("train-*.npy"):
    os.utime(path, ns=(1, 1))
  with pytest.raises(UserError, match="has changed while it was in use"):
    found.batch("train", 1, 2)


@pytest.mark.parametrize(
  "change", ["seed=1", "validation_fraction=0.2", "separators=False"]
)
def test_options_that_change_the_tokens_have_files_of_their_own(data, change):
  name, _, value = change.partition("=")
  other = make(**OPTIONS, **{name: eval(value)})
  assert other.encoded.folder != make(**OPTIONS).encoded.folder
  assert make(**OPTIONS | {"sequence_length": 4}).encoded.folder == (
    make(**OPTIONS).encoded.folder
  )


def test_prepare_prints_sizes_and_training_uses_the_files(data, command):
  status, out, err = command("--mode=prepare", f"--dataset={SPEC}")
  assert (status, err) == (0, "")
  facts = make(**OPTIONS).encoded.facts["validation"]
  row = next(line.split() for line in out.splitlines() if "validation" in line)
  ratio = f"{facts.bytes / facts.tokens:.3f}"
  assert row == ["validation", "9", f"{facts.tokens:,}", f"{facts.bytes:,}", ratio]
  assert f"Written to {make(**OPTIONS).encoded.folder}" in out
  size = make(**OPTIONS).vocabulary.size
  assert f"{size} tokens in the vocabulary of characters" in out
  wrapped = f'--dataset=masked(of="{SPEC}")'
  assert command("--mode=prepare", wrapped)[1] == out


def test_prepare_without_files_or_text(command):
  status, out, _ = command("--mode=prepare", "--dataset=python_docs")
  assert status == 0
  assert "No file is written: this text is encoded at each start." in out
  assert not list(Path("cache").rglob("*.npy"))
  result = command("--mode=prepare", "--dataset=copy")
  assert_refused(
    result, "--mode=prepare writes the tokens of a text, and --dataset=copy"
  )


def test_a_run_resumes_bit_for_bit_and_is_sampled_from_without_its_data(data, command):
  words = [
    *TINY[1:],
    "--dataset=text(path='a.jsonl', sequence_length=8)",
    "--skip_checks",
    "--position=none",
    "--config.train.optimizer=sgd",
    "--config.train.schedule=constant",
    "--config.train.steps_per_call=1",
    "--config.sample.length=2",
  ]
  for workdir, steps in (("cut", 2), ("cut", 4), ("whole", 4)):
    status, _, err = command(*words, f"--steps={steps}", f"--workdir={workdir}")
    assert (status, err) == (0, "")
  states = [
    next(Path(workdir, "checkpoints").glob("*4-*.npz")) for workdir in ("cut", "whole")
  ]
  arrays = [np.load(path) for path in states]
  for name in arrays[0].files:
    if "params" in name or "opt_state" in name:
      np.testing.assert_array_equal(arrays[0][name], arrays[1][name])
  kept = {path.name for path in Path("cut").iterdir()}
  assert {"characters.txt", "separated.txt", "prompt.txt"} <= kept
  Path("a.jsonl").unlink()
  shutil.rmtree("cache")
  status, out, err = command("--workdir=cut", "--mode=sample", "--prompt=ab")
  assert (status, err) == (0, "")
  assert out.startswith("[ab]")
