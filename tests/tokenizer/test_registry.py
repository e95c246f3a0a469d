"""Every registered tokenizer obeys the laws, and broken ones are found."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

import attention_lab
from attention_lab.plugin import discovery
from attention_lab.tokenizer.base.tokenizer import tokenizers
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary
from attention_lab.tokenizer.characters import Characters
from tests.tokenizer import laws, library
from tests.tokenizer.laws import Case

DIGITS = pre_tokenizers.Split(Regex(r"\p{N}|\s+|[^\s\p{N}]+"), "isolated")
# Each tokenizer with options that change how it encodes; {} is the path of a file.
CASES = {
  "bytes": Case("bytes"),
  "characters": Case("characters", every=False),
  "bpe": Case("bpe(vocabulary_size=320)"),
  "bytes.json": Case("huggingface(path='{}')"),
  "digits.json": Case("huggingface(path='{}', separator='<|endoftext|>')"),
  "spaces.json": Case("huggingface(path='{}')"),
  "prefix.json": Case("huggingface(path='{}', separator='<bos>')", exact=False),
  "words.json": Case("huggingface(path='{}')", exact=False),
  "gpt2.tiktoken": Case("tiktoken(path='{}')"),
  "mine.tiktoken": Case("tiktoken(path='{}', pattern='cl100k_base')"),
  "o200k_base.tiktoken": Case("tiktoken(path='{}')"),
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
  """Return the cases, with their files."""
  folder = tmp_path_factory.mktemp("tokenizers")
  made = {
    "bytes.json": library.byte_level(),
    "digits.json": library.byte_level(split=DIGITS, added=["    ", "fox", "<sep>"]),
    "spaces.json": library.with_spaces(),
    "prefix.json": library.with_spaces("first"),
    "words.json": library.word_piece(),
  }
  for name, tokenizer in made.items():
    tokenizer.save(str(folder / name))
  for name in CASES:
    if name.endswith(".tiktoken"):
      pattern = "cl100k_base" if name == "mine.tiktoken" else name.partition(".")[0]
      (folder / name).write_bytes(library.rank_file(library.ranks(pattern)))
  return {
    name: dataclasses.replace(case, spec=case.spec.format(folder / name))
    for name, case in CASES.items()
  }


@pytest.fixture(scope="module")
def vocabularies(cases):
  """Return the vocabulary of each case."""
  return {
    name: case.make().vocabulary(case.files(), True) for name, case in cases.items()
  }


def test_every_tokenizer_is_tested():
  built_in = {
    name
    for name in tokenizers
    if tokenizers[name].__module__.startswith("attention_lab.")
  }
  assert built_in == {case.spec.partition("(")[0] for case in CASES.values()}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_texts(name, data, cases, vocabularies):
  texts = data.draw(st.lists(cases[name].texts(), min_size=1, max_size=4))
  for law in laws.TEXT_LAWS:
    law(cases[name], vocabularies[name], texts)


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", CASES)
def test_laws(name, law, cases):
  law(cases[name])


@dataclasses.dataclass(frozen=True)
class Broken(CharacterVocabulary):
  """Characters, with one mistake."""

  mistake: str = ""

  @property
  def separator(self):
    found = super().separator
    return 0 if self.mistake == "separator" and found is not None else found

  @property
  def token_bytes(self):
    found = CharacterVocabulary.token_bytes.func(self)
    return np.ones_like(found) if self.mistake == "token_bytes" else found

  def encode(self, text):
    return super().encode(text.strip() if self.mistake == "spaces" else text)

  def encode_documents(self, documents):
    found = super().encode_documents(documents)
    if self.mistake == "together" and len(found) > 1:
      found[1] = found[1][1:]
    return found

  def decode(self, tokens):
    if self.mistake == "decode":
      return "".join(self.characters[int(token)] for token in tokens)
    return super().decode(tokens)


def broken(mistake):
  """Return the case of a tokenizer with a mistake; the registry holds it for a test."""

  @dataclasses.dataclass(kw_only=True)
  class Wrong(Characters):
    calls = 0

    def learn(self, documents, separated):
      files = super().learn(documents, separated)
      type(self).calls += mistake == "learn"
      return {name: content + b"~" * self.calls for name, content in files.items()}

    def vocabulary(self, files, separated):
      return Broken(super().vocabulary(files, separated).characters, separated, mistake)

  return tokenizers.registered(Wrong, "wrong"), Case("wrong", every=False)


FOUND_BY = {
  "": (),
  "separator": (laws.has_no_separator, laws.has_a_size),
  "token_bytes": (laws.is_exact, laws.has_a_size),
  "spaces": (laws.is_exact,),
  "together": (laws.encodes_one_by_one,),
  "decode": (laws.is_restored, laws.has_a_size),
  "learn": (laws.is_restored,),
}


@pytest.mark.parametrize("mistake", FOUND_BY)
def test_a_broken_tokenizer_is_found(mistake):
  held, case = broken(mistake)
  found = []
  with held:
    vocabulary = case.make().vocabulary(case.files(), True)
    for law in laws.TEXT_LAWS:
      try:
        law(case, vocabulary, ["\r fox é ", "\tdog"])
      except AssertionError:
        found.append(law)
    for law in laws.LAWS:
      try:
        law(case)
      except (AssertionError, IndexError):
        found.append(law)
  assert tuple(found) == FOUND_BY[mistake]


PLUGIN = '''
"""Halves of bytes as tokens (no paper)."""

import dataclasses

import numpy as np

import attention_lab


@attention_lab.register_tokenizer("nibbles")
@dataclasses.dataclass(kw_only=True)
class Nibbles(attention_lab.Tokenizer):
  """Two tokens for each byte."""

  high_first: bool = True  # Whether the upper half is the first.

  def learn(self, documents, separated):
    return {}

  def vocabulary(self, files, separated):
    return Vocabulary(separated, self.high_first)


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """Sixteen halves, and a separator."""

  separated: bool
  high_first: bool

  @property
  def size(self):
    return 16 + self.separated

  @property
  def separator(self):
    return 16 if self.separated else None

  @property
  def token_bytes(self):
    return None

  def encode(self, text):
    both = np.frombuffer(text.encode(), np.uint8)[:, None] >> np.array([4, 0]) & 15
    return both[:, :: 1 if self.high_first else -1].astype(np.int32).ravel()

  def encode_documents(self, documents):
    return [self.encode(document) for document in documents]

  def decode(self, tokens):
    halves = [int(token) for token in tokens if 0 <= token < 16]
    pairs = zip(halves[::2], halves[1::2])
    order = (lambda a, b: 16 * a + b) if self.high_first else (lambda a, b: 16 * b + a)
    return bytes(order(*pair) for pair in pairs).decode("utf-8", "replace")
'''


@pytest.mark.parametrize("spec", ["nibbles", "nibbles(high_first=False)"])
def test_a_plugin_registers_a_tokenizer(spec, tmp_path, monkeypatch):
  monkeypatch.setattr(tokenizers, "_parts", dict(tokenizers._parts))
  path = tmp_path / "nibbles.py"
  path.write_text(PLUGIN)
  discovery.load([str(path)])
  case = Case(spec)
  assert isinstance(case.make(), attention_lab.Tokenizer)
  vocabulary = case.make().vocabulary({}, True)
  assert vocabulary.encode("A").tolist() == ([4, 1] if spec == "nibbles" else [1, 4])
  for law in (laws.has_no_separator, laws.encodes_one_by_one):
    law(case, vocabulary, laws.TRAINING)
