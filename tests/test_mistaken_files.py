"""Tests that a mistake in files, data or plugins gives one line and creates no file."""

import os
from pathlib import Path

import pytest

from attention_lab.architecture.base.architecture import architectures
from attention_lab.attention.base.attention import attentions
from attention_lab.dataset.base.dataset import datasets
from attention_lab.position.base.position import positions
from tests.commands import TINY, assert_refused

HEAD = "import dataclasses, jax.numpy as jnp, numpy as np, attention_lab\n"


@pytest.fixture(autouse=True)
def clean_state(tmp_path, monkeypatch):
  """Start in an empty folder, with an empty cache and without components of other tests."""
  (tmp_path / "folder").mkdir()
  monkeypatch.chdir(tmp_path / "folder")
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  for registry in (attentions, positions, datasets, architectures):
    monkeypatch.setattr(registry, "_parts", dict(registry._parts))


@pytest.fixture
def refuse(command):
  """Assert that a command is refused and makes no run."""

  def check(answer, *words):
    before = sorted(os.listdir())
    assert_refused(command(*TINY, "--skip_checks", "--workdir=run", *words), answer)
    assert sorted(os.listdir()) == before

  return check


def files():
  """Create files of which only "text" is usable."""
  Path("folder.py").mkdir()
  Path("empty").touch()
  Path("one").write_text("a")
  Path("same").write_text("a" * 5000)
  Path("binary").write_bytes(bytes(range(256)) * 20)
  Path("zeros").write_bytes(bytes(5000))
  Path("cut").write_bytes("grün".encode()[:-2] * 500)
  Path("text").write_text("abcdefgh \n" * 500)


@pytest.mark.parametrize(
  ("path", "answer"),
  [
    ("empty", "empty is empty."),
    ("one", "fewer than 2 distinct characters"),
    ("same", "fewer than 2 distinct characters"),
    ("zeros", "fewer than 2 distinct characters"),
    ("binary", "binary is not UTF-8 text"),
    ("cut", "cut is not UTF-8 text"),
    ("folder.py", "The folder folder.py has no file whose name ends in .txt"),
    ("missing", "No file matches 'missing'"),
    ("text/x", "No file matches 'text/x'"),
    ("/dev/full", "/dev/full is a device"),
    ("/dev/null", "/dev/null is a device"),
    ("/dev/zero", "/dev/zero is a device"),
    ("", "No file matches ''"),
    ("a\\0b", "No file matches 'a\\x00b'"),
  ],
)
def test_unusable_text_is_rejected(refuse, path, answer):
  files()
  refuse(answer, f"--dataset=text(path='{path}')")


@pytest.mark.parametrize(
  ("options", "answer"),
  [
    ("sequence_length=0", "sequence_length=0: take 1 or more"),
    ("sequence_length=-1", "sequence_length=-1: take 1 or more"),
    ("sequence_length=10000", "lower sequence_length"),
    ("sequence_length='8'", "expected int"),
    ("validation_fraction=0.0", "take a share between 0 and 1"),
    ("validation_fraction=1.0", "take a share between 0 and 1"),
    ("validation_fraction=2", "take a share between 0 and 1"),
    ("seed=-1", "seed=-1: take 0 or more"),
    ("paht='x'", "has no option 'paht'. Did you mean 'path'?"),
  ],
)
def test_invalid_option_of_a_text_is_rejected(refuse, options, answer):
  files()
  refuse(answer, f"--dataset=text(path='text', {options})")


@pytest.mark.parametrize(
  ("tokenizer", "answer"),
  [
    ("bbpe", "'bbpe' is not a tokenizer. Did you mean 'bpe'?"),
    ("bpe(size=300)", "The tokenizer 'bpe' has no option 'size'. Known: learn_from"),
    ("bpe(vocabulary_size=10)", "vocabulary_size=10 does not fit this text: take more"),
    (
      "bpe(vocabulary_size=9000)",
      "vocabulary_size=9000 does not fit this text: take 2",
    ),
    ("huggingface", "needs an option: huggingface(path=...)"),
    (
      "huggingface(path='missing.json')",
      "file missing.json does not exist. Paths start",
    ),
    ("huggingface(path='texts')", "file texts does not exist. Did you mean 'text'?"),
    (
      "huggingface(path='text')",
      "text: It is not a tokenizer.json, which has a model.",
    ),
    ("huggingface(path='binary')", "binary: It is no text, and so no tokenizer.json."),
    ("tiktoken(path='text')", "text: Its name is not that of an encoding."),
    ("tiktoken(path='text', pattern='gpt-2')", "Did you mean 'gpt2'?"),
    ("tiktoken(path='zeros', pattern='gpt2')", "zeros: Line 1 is no token in base64"),
  ],
)
def test_tokenizer_that_does_not_fit_is_rejected(refuse, tokenizer, answer):
  files()
  refuse(answer, f'--dataset=text(path="text", tokenizer="{tokenizer}")')


@pytest.mark.parametrize(
  ("word", "answer"),
  [
    ("--workdir=text", "Cannot write to text"),
    ("--workdir=text/run", "Cannot write to text/run"),
    ("--workdir=/dev/full", "Cannot write to /dev/full"),
    ("--workdir=/dev/null/x", "Cannot write to /dev/null/x"),
    ("--config=folder.py", "there is no such file"),
    ("--config=text", "NameError"),
    ("--config=binary", "--config=binary: "),
    ("--plugin=", "Plugin "),
    ("--plugin=folder.py", "there is no such file"),
    ("--plugin=text", "ModuleNotFoundError"),
    ("--plugin=..", "Plugin ..: "),
    ("--plugin=os.path.nothing", "ModuleNotFoundError"),
  ],
)
def test_path_of_another_kind_is_rejected(refuse, word, answer):
  files()
  refuse(answer, word)


@pytest.mark.parametrize(
  ("code", "answer"),
  [
    ("x = 1 / 0", "mine.py, line 1: ZeroDivisionError: division by zero"),
    ("import nothing_like_this", "ModuleNotFoundError"),
    ("def f(:", "SyntaxError"),
    ("raise SystemExit(3)", "SystemExit: 3"),
    ("\0", "mine.py"),
    (f"{HEAD}@attention_lab.register_attention('standard')\nclass A: pass", "already"),
    (f"{HEAD}@attention_lab.register_attention('a')\nclass A: pass", "a subclass of"),
    (f"{HEAD}@attention_lab.register_attention('a b')\nclass A: pass", "a word of"),
    (
      f"{HEAD}@attention_lab.register_attention('a')\n"
      "class A(attention_lab.MultiHead):\n  width: int = 3",
      "put @dataclasses.dataclass(kw_only=True) below it",
    ),
    (
      f"{HEAD}@attention_lab.register_attention('a')\n"
      "class A(attention_lab.MultiHead):\n  def atend(self, q, k, v, mask): return v",
      "It defines 'atend'; did you mean 'attend'?",
    ),
    (f"{HEAD}class A(attention_lab.Position): pass", "it registers nothing"),
  ],
)
def test_plugin_that_fails_on_import_is_rejected(refuse, code, answer):
  Path("mine.py").write_text(code)
  refuse(answer, "--plugin=mine.py")


ATTENTION = (
  HEAD
  + """
@attention_lab.register_attention("mine")
@dataclasses.dataclass(kw_only=True)
class Mine(attention_lab.Attention):
  def __post_init__(self):
    super().__post_init__()
    {init}
  def __call__(self, query, context, mask):
    {call}
"""
)


@pytest.mark.parametrize(
  ("init", "call", "answer"),
  [
    ("raise ValueError('no')", "return query", "mine.py, line 8: ValueError: no."),
    ("pass", "raise KeyError('boom')", "mine.py, line 10: KeyError: 'boom'."),
    ("pass", "return query[:, :1]", "must keep shape and dtype"),
    ("pass", "return query.sum(-1)", "must keep shape and dtype"),
    ("pass", "return query.astype(jnp.float16)", "must keep shape and dtype"),
    ("pass", "return query.astype(jnp.int32)", "must keep shape and dtype"),
    ("pass", "return None", "Mine.__call__ (mine.py, line 9) returns None"),
    ("pass", "return [query]", "returns a list, not an array"),
    ("pass", "raise SystemExit", "mine.py, line 10: SystemExit."),
    ("pass", "return np.asarray(query)", "TracerArrayConversionError"),
    ("pass", "return query if query.sum() > 0 else -query", "TracerBoolConversion"),
    ("pass", "return query @ context", "mine.py, line 10: TypeError: "),
    ("pass", "return undefined", "NameError"),
  ],
)
def test_failing_attention_is_named_with_its_line(refuse, init, call, answer):
  Path("mine.py").write_text(ATTENTION.format(init=init, call=call))
  words = ["--plugin=mine.py", "--attention=mine", "--position=none"]
  refuse(answer, *words)
  refuse(answer, *words, "--mode=check")


def test_mistake_in_a_row_of_a_comparison_is_named(refuse):
  Path("mine.py").write_text(ATTENTION.format(init="pass", call="raise SystemExit"))
  words = ["--plugin=mine.py", "--attention=standard,mine", "--position=none"]
  refuse("mine.py, line 10: SystemExit.", *words, "--mode=compare")


def test_missing_call_of_the_base_is_named(refuse):
  code = ATTENTION.format(init="pass", call="return query")
  Path("mine.py").write_text(code.replace("super().__post_init__()", "pass"))
  words = ["--plugin=mine.py", "--attention=mine", "--position=none"]
  for mode in ("train", "check"):
    answer = "Mine.__post_init__ (mine.py, line 6) does not call"
    refuse(answer, *words, f"--mode={mode}")


def test_exit_of_a_plugin_outside_assembly_is_a_mistake(refuse):
  Path("mine.py").write_text(DATASET.format(size="16", body="raise SystemExit(0)"))
  refuse("in examples: SystemExit: 0.", "--plugin=mine.py", "--dataset=mine")


@pytest.mark.parametrize("more", [[], ["--skip_checks"]])
def test_attention_that_returns_nan_is_detected_before_the_first_step(command, more):
  Path("mine.py").write_text(
    ATTENTION.format(init="pass", call="return query * jnp.nan")
  )
  words = ["--plugin=mine.py", "--attention=mine", "--position=none", *more]
  status, _, err = command(*TINY, *words, "--workdir=run")
  assert status == 2
  assert err.startswith("error: At step 0 the loss is nan")
  assert "try --mode=check --attention='mine'." in err
  assert err.count("\n") == 1
  assert not list(Path("run/checkpoints").iterdir())


DATASET = (
  HEAD
  + """
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary

@attention_lab.register_dataset("mine")
@dataclasses.dataclass(kw_only=True)
class Mine(attention_lab.Dataset):
  vocabulary = CharacterVocabulary("abcd")
  fingerprint = "0" * 64
  sequence_length: int = 8
  def size(self, split):
    return {size}
  def examples(self, split, epoch, indices):
    x = np.zeros((len(indices), self.sequence_length), np.int32)
    w = np.ones_like(x, np.float32)
    {body}
"""
)
BATCH = "return attention_lab.Batch"


@pytest.mark.parametrize(
  ("size", "body", "answer"),
  [
    ("16", f"{BATCH}(x + 9, x, w)", "train examples have inputs with the token 9"),
    ("16", f"{BATCH}(x, x - 3, w)", "targets with the token -3; expected 0 to 3"),
    ("16", f"{BATCH}(x, x, w, x + 4)", "a source with the token 4"),
    ("16", f"{BATCH}(x, x[:, :2], w)", "targets of the shape [1, 2]"),
    ("16", f"{BATCH}(x[:1], x[:1], w[:1])", "expected "),
    ("16", f"{BATCH}(x, x * 1.0, w)", "targets of the dtype float64; expected int32"),
    ("16", f"{BATCH}(x, x, x)", "weights of the dtype int32; expected float32"),
    ("16", f"{BATCH}(x, x, w * np.nan)", "negative or not finite"),
    ("16", f"{BATCH}(x, x, -w)", "negative or not finite"),
    ("16", f"{BATCH}(x[:, :0], x[:, :0], w[:, :0])", "no token"),
    ("16", "return x, x, w", "are a tuple, not a Batch"),
    ("16", "return None", "are a NoneType, not a Batch"),
    ("16", "raise IndexError('removed')", "in examples: IndexError: removed."),
    ("1 // 0", "pass", "in size: ZeroDivisionError"),
    ("0", f"{BATCH}(x, x, w)", "its size('train') is 0"),
    ("-4", f"{BATCH}(x, x, w)", "its size('train') is -4"),
    ("1.5", f"{BATCH}(x, x, w)", "its size('train') is 1.5"),
    ("None", f"{BATCH}(x, x, w)", "its size('train') is None"),
    (
      "16",
      f"{BATCH}(x + 4 * (split == 'validation'), x, w)",
      "validation examples have inputs with the token 4",
    ),
  ],
)
def test_dataset_that_breaks_its_contract_is_named(refuse, size, body, answer):
  Path("mine.py").write_text(DATASET.format(size=size, body=body))
  refuse(answer, "--plugin=mine.py", "--dataset=mine")


def test_traceback_of_a_plugin_is_stored(refuse, tmp_path):
  Path("mine.py").write_text(
    DATASET.format(size="16", body="raise IndexError('removed')")
  )
  stored = tmp_path / "cache" / "attention_lab" / "traceback.txt"
  refuse(f"The traceback is in {stored}", "--plugin=mine.py", "--dataset=mine")
  text = stored.read_text()
  assert text.startswith("Traceback (most recent call last)")
  assert "raise IndexError('removed')" in text


def test_path_with_spaces_and_non_latin_letters_is_accepted(command):
  folder = Path("Über uns, 数据")
  folder.mkdir()
  (folder / "mein Text (1).txt").write_text("grüne Bäume " * 400)
  (folder / "my plugin.py").write_text(ATTENTION.format(init="pass", call="pass"))
  words = [
    *TINY,
    "--skip_checks",
    "--steps=1",
    f"--dataset=text(path='{folder}/mein Text (1).txt', sequence_length=8)",
    f"--plugin={folder}/my plugin.py",
    f"--workdir={folder}/der Lauf",
  ]
  status, out, err = command(*words)
  assert (status, err) == (0, "")
  assert f"Written to {folder}/der Lauf" in out
