"""Files of merge ranks: equal to tiktoken's own encoding, and refusals."""

import base64
import sys
import types

import pytest
import tiktoken
from tiktoken import load
from tiktoken_ext import openai_public

from attention_lab.errors import UserError
from attention_lab.tokenizer.base.tokenizer import tokenizers
from attention_lab.tokenizer.tiktoken import ENCODINGS, FILE, SEPARATOR
from tests.tokenizer import library
from tests.tokenizer.laws import SPECIAL, TRAINING

TEXT = "The fox DOESN'T run 12345 times/\n\n  é😀" + "".join(SPECIAL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Return a folder with the ranks of a small text."""
  folder = tmp_path_factory.mktemp("ranks")
  (folder / "mine.tiktoken").write_bytes(library.rank_file(library.ranks()))
  return folder


def vocabulary_of(path, separated=True, **options):
  """Return the vocabulary of a file."""
  words = "".join(f", {key}={value!r}" for key, value in options.items())
  tokenizer = tokenizers.bind(f"tiktoken(path={str(path)!r}{words})")()
  return tokenizer.vocabulary(tokenizer.learn(lambda: (), separated), separated)


def published(name, ranks, monkeypatch):
  """Return what tiktoken knows of an encoding, with other ranks."""
  for function in ("load_tiktoken_bpe", "data_gym_to_mergeable_bpe_ranks"):
    monkeypatch.setattr(openai_public, function, lambda *_, **__: ranks)
  return getattr(openai_public, name)()


@pytest.mark.parametrize("name", ENCODINGS)
def test_tokens_are_those_of_tiktoken(name, folder, monkeypatch):
  path = folder / "mine.tiktoken"
  ranks = load.load_tiktoken_bpe(str(path))
  known = published(name, ranks, monkeypatch)
  own = tiktoken.Encoding(
    "own", pat_str=known["pat_str"], mergeable_ranks=ranks, special_tokens={}
  )
  vocabulary = vocabulary_of(path, pattern=name)
  for text in (*TRAINING, TEXT):
    assert vocabulary.encode(text).tolist() == own.encode_ordinary(text)
  assert (vocabulary.size, vocabulary.separator) == (331, 330)
  assert vocabulary_of(path, False, pattern=name).size == 330
  assert ENCODINGS[name].separator == known["special_tokens"][SEPARATOR]


def test_the_name_of_a_file_is_that_of_its_encoding(folder):
  content = (folder / "mine.tiktoken").read_bytes()
  for name in ("gpt2", "cl100k_base"):
    path = folder / f"{name}.tiktoken"
    path.write_bytes(content)
    named = vocabulary_of(folder / "mine.tiktoken", pattern=name)
    assert vocabulary_of(path) == named


def test_the_separator_has_its_published_number():
  """OpenAI's ranks of cl100k_base end at 100,255, and its separator is 100,257."""

  def made_of(ranks, pattern):
    tokenizer = tokenizers.bind(f"tiktoken(path='', pattern={pattern!r})")()
    return tokenizer.vocabulary({FILE: library.rank_file(ranks)}, True)

  ranks = {bytes([i]): i for i in range(256)}
  more = (b"a" + i.to_bytes(3, "little") for i in range(100_000))
  ranks |= {token: 256 + i for i, token in enumerate(more)}
  vocabulary = made_of(ranks, "cl100k_base")
  assert (vocabulary.size, vocabulary.separator) == (100_258, 100_257)
  assert vocabulary.pieces[100_256:] == (b"", b"")
  assert made_of(ranks, "gpt2").separator == 100_256  # 50,256 is a rank.
  ranks = dict(list(ranks.items())[:50_256]) | {b"more": 50_280}
  assert made_of(ranks, "p50k_base").separator == 50_256


def test_an_expression_splits_texts(folder):
  path = folder / "mine.tiktoken"
  alone = vocabulary_of(path, pattern=r"[\s\S]")
  assert alone.encode("quick").size == 5
  assert vocabulary_of(path, pattern="gpt2").encode("quick").size < 5


def lines(*changed):
  """Return a file of the ranks of all bytes, with some lines in place of the last."""
  own = [b"%s %d" % (base64.b64encode(bytes([i])), i) for i in range(256)]
  return b"\n".join([*own[: len(own) - len(changed)], *changed])


WRONG = {
  "": "It is not a file of merge ranks: 256 of the 256 bytes have no token, such as 0x00.",
  "#version: 0.2\ng h": "Line 1 is no token in base64 with its rank, but '#version: 0.2'.",
  lines(b"YQ=="): "Line 256 is no token in base64 with its rank, but 'YQ=='.",
  lines(b"YQ== x"): "Line 256 is no token in base64 with its rank, but 'YQ== x'.",
  lines(b"Y! 255"): "Line 256 is no token in base64 with its rank, but 'Y! 255'.",
  lines(b"\xff\xfe 255"): "Line 256 is no token in base64 with its rank",
  lines(b"YQ== 255"): "Line 256 repeats the token or the rank of line 98.",
  lines(b"/w== 7"): "Line 256 repeats the token or the rank of line 8.",
  lines(b"/w== -1"): "Line 256 has no token, or a rank outside 0 to 16777215.",
  lines(b"/w== 16777216"): "Line 256 has no token, or a rank outside 0 to 16777215.",
  lines(
    b"YWI= 255"
  ): "It is not a file of merge ranks: 1 of the 256 bytes have no token",
}


@pytest.mark.parametrize("content", WRONG)
def test_a_file_without_ranks_is_refused(content, tmp_path):
  path = tmp_path / "gpt2.tiktoken"
  path.write_bytes(content.encode() if isinstance(content, str) else content)
  with pytest.raises(UserError) as caught:
    vocabulary_of(path)
  assert str(caught.value).startswith(f"{path}: {WRONG[content]}")


@pytest.mark.parametrize(
  ("pattern", "message"),
  [
    (
      "",
      "mine.tiktoken: Its name is not that of an encoding. Known: cl100k_base, gpt2",
    ),
    ("gpt3", r"pattern='gpt3' is not that of an encoding. Did you mean 'gpt2'\? Set"),
    ("(", r"pattern='\(' is no regular expression: Parsing error at position 1"),
    (r"\w+", r"pattern='\\\\w\+' leaves out a part of some texts"),
  ],
)
def test_a_pattern_that_does_not_fit_is_refused(pattern, message, folder):
  with pytest.raises(UserError, match=message):
    vocabulary_of(folder / "mine.tiktoken", pattern=pattern)


def test_a_file_that_does_not_exist_is_refused(folder):
  with pytest.raises(
    UserError, match=r"The tokenizer's file .* does not exist. Did you"
  ):
    vocabulary_of(folder / "mime.tiktoken", pattern="gpt2")


def test_a_failure_of_tiktoken_is_one_line(folder, monkeypatch):
  """Rust's own exception is none of Python's: o200k_base fails on a million spaces."""
  vocabulary = vocabulary_of(folder / "mine.tiktoken", pattern="gpt2")
  panic = type("PanicException", (BaseException,), {})

  def fail(text):
    raise (panic if text == " " else KeyboardInterrupt)("StackOverflow")

  monkeypatch.setitem(
    vocabulary.__dict__, "_encoding", types.SimpleNamespace(encode_ordinary=fail)
  )
  with pytest.raises(UserError, match=r"many spaces in a row: StackOverflow\."):
    vocabulary.encode(" ")
  with pytest.raises(KeyboardInterrupt):
    vocabulary.encode("a")


def test_the_library_is_named_if_it_is_not_installed(folder, monkeypatch):
  monkeypatch.setitem(sys.modules, "tiktoken", None)
  with pytest.raises(UserError, match=r"needs tiktoken: pip install tiktoken, or the"):
    vocabulary_of(folder / "mine.tiktoken", pattern="gpt2")
