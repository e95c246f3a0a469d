"""tokenizer.json: equal to its library, exact where nothing is lost, and refusals."""

import json
import sys

import pytest
import tokenizers
from tokenizers import AddedToken, Regex, decoders, normalizers, pre_tokenizers

from attention_lab.errors import UserError
from attention_lab.tokenizer import huggingface
from attention_lab.tokenizer.base.spelling import byte_characters
from attention_lab.tokenizer.base.tokenizer import tokenizers as known
from tests.tokenizer import library
from tests.tokenizer.laws import TRAINING

TEXT = "The quick brown fox\n\n  1234 é😀 don't"


def vocabulary_of(path, separated=True, **options):
  """Return the vocabulary of a file."""
  words = "".join(f", {key}={value!r}" for key, value in options.items())
  tokenizer = known.bind(f"huggingface(path={str(path)!r}{words})")()
  return tokenizer.vocabulary(tokenizer.learn(lambda: (), separated), separated)


@pytest.fixture
def saved(tmp_path):
  """Return a function that saves a tokenizer, or the content of a file."""

  def save(made, name="tokenizer.json"):
    path = tmp_path / name
    if isinstance(made, tokenizers.Tokenizer):
      made.save(str(path))
    else:
      path.write_text(made if isinstance(made, str) else json.dumps(made))
    return path

  return save


def changed(made, **parts):
  """Return a tokenizer with other parts."""
  for name, part in parts.items():
    setattr(made, name, part)
  return made


def as_json(made):
  return json.loads(made.to_str())


def gemma():
  """Return a tokenizer whose normaliser replaces spaces."""
  made = library.with_spaces()
  made.normalizer = normalizers.Replace(" ", "▁")
  made.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
  return made


def llama():
  """Return a tokenizer whose normaliser adds a space in front, and replaces spaces."""
  made = gemma()
  replace = normalizers.Replace(" ", "▁")
  made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace])
  return made


def split(pattern, behavior):
  return library.byte_level(split=pre_tokenizers.Split(Regex(pattern), behavior))


MADE = {
  "bytes": (library.byte_level, True),
  "split": (lambda: split(r"\p{N}|\s+|[^\s\p{N}]+", "isolated"), True),
  "digits": (lambda: library.byte_level(split=pre_tokenizers.Digits(True)), True),
  "added tokens": (lambda: library.byte_level(added=["    ", "fox"]), True),
  "spaces": (library.with_spaces, True),
  "spaces by a normaliser": (gemma, True),
  "space in front": (lambda: library.byte_level(prefix=True), False),
  "space in front, llama": (llama, False),
  "space in front, metaspace": (lambda: library.with_spaces("first"), False),
  "removes spaces": (lambda: split(r"\s", "removed"), False),
  "spaces taken by a token": (
    lambda: library.byte_level(added=[AddedToken("fox", lstrip=True)]),
    False,
  ),
  "not every byte": (lambda: library.byte_level(alphabet=False, size=60), False),
  "no bytes": (lambda: library.with_spaces(fallback=False), False),
  "lower case": (
    lambda: changed(library.byte_level(), normalizer=normalizers.Lowercase()),
    False,
  ),
  "NFC": (lambda: changed(library.byte_level(), normalizer=normalizers.NFC()), False),
  "strip": (lambda: changed(gemma(), normalizer=normalizers.Strip()), False),
  "unigram": (library.unigram, False),
  "word piece": (library.word_piece, False),
}


@pytest.mark.parametrize("name", MADE)
def test_tokens_are_those_of_the_library(name, saved):
  make, exact = MADE[name]
  made = make()
  vocabulary = vocabulary_of(saved(made), separated=False)
  expected = made.encode_batch([*TRAINING, TEXT], add_special_tokens=False)
  found = vocabulary.encode_documents([*TRAINING, TEXT])
  assert [each.tolist() for each in found] == [each.ids for each in expected]
  assert vocabulary.size == made.get_vocab_size()
  assert vocabulary.decode(found[-1]) == made.decode(expected[-1].ids)
  assert (vocabulary.token_bytes is not None) == exact
  assert vocabulary._spelling.lossless == exact  # By the file, without encoding.
  if exact:
    assert vocabulary.decode(found[-1]) == TEXT
    assert vocabulary.token_bytes[found[-1]].sum() == len(TEXT.encode())


def test_a_loss_that_the_file_does_not_state_is_found_by_encoding(saved):
  """The library reads the names of bytes in texts if the model is a unigram."""
  names = [(name, -9.0) for name in library.BYTE_NAMES]
  model = tokenizers.models.Unigram([("<unk>", 0.0), *names], 0, byte_fallback=True)
  vocabulary = vocabulary_of(saved(tokenizers.Tokenizer(model)), separated=False)
  assert vocabulary._spelling.lossless
  assert vocabulary.encode("A<0x41>").size == 2
  assert vocabulary.token_bytes is None


def test_characters_stand_for_bytes_as_in_the_library():
  table = byte_characters()
  assert set(table) == set(pre_tokenizers.ByteLevel.alphabet())
  decoder = decoders.ByteLevel()
  for character, byte in table.items():
    shown = bytes([byte]).decode("utf-8", "replace")
    assert decoder.decode([character]) == shown


def test_the_library_runs_on_several_documents_at_once(saved, monkeypatch):
  vocabulary = vocabulary_of(saved(library.byte_level()))
  expected = [vocabulary.encode(text).tolist() for text in TRAINING]
  groups = list(huggingface._groups(TRAINING))
  assert groups == [TRAINING]
  monkeypatch.setattr(huggingface, "AT_ONCE", 200)
  groups = list(huggingface._groups(TRAINING))
  assert [text for group in groups for text in group] == TRAINING
  assert len(groups) > 1
  found = vocabulary.encode_documents(TRAINING)
  assert [each.tolist() for each in found] == expected


def test_truncation_padding_dropout_and_special_tokens_are_off(saved):
  made = library.byte_level(special=["<pad>", "</s>"])
  expected = made.encode(TEXT).ids
  made.enable_truncation(3)
  made.enable_padding(length=99)
  made.model.dropout = 0.9
  made.post_processor = tokenizers.processors.TemplateProcessing(
    single="</s> $A </s>", special_tokens=[("</s>", 1)]
  )
  vocabulary = vocabulary_of(saved(made))
  for _ in range(3):
    assert vocabulary.encode(TEXT).tolist() == expected


def test_the_path_may_be_that_of_a_folder(saved):
  path = saved(library.byte_level())
  assert vocabulary_of(path.parent) == vocabulary_of(path)


@pytest.mark.parametrize(
  ("special", "option", "expected"),
  [
    (["<unk>", "[SEP]", "</s>"], "", "</s>"),
    (["</s>", "<|endoftext|>"], "", "<|endoftext|>"),
    (["</s>", "<|endoftext|>"], "</s>", "</s>"),
    (["<mine>"], "<mine>", "<mine>"),
  ],
)
def test_the_separator_is_a_usual_one_or_the_one_named(
  special, option, expected, saved
):
  path = saved(library.byte_level(special=special))
  vocabulary = vocabulary_of(path, separator=option)
  assert vocabulary.separator == special.index(expected)
  assert vocabulary.separator not in vocabulary.encode(expected)
  assert vocabulary_of(path, separated=False, separator=option).separator is None


def test_a_separator_that_is_no_special_token_is_not_read_in_documents(saved):
  path = saved(library.byte_level(added=["<sep>"]))
  vocabulary = vocabulary_of(path, separator="<sep>")
  assert vocabulary.separator == 330
  assert vocabulary.token_bytes[330] == 0
  assert vocabulary.decode(vocabulary.encode("a<sep>b")) == "a<sep>b"
  assert 330 not in vocabulary.encode("a<sep>b")
  assert 330 in vocabulary_of(path).encode("a<sep>b")


def without_tokens():
  return tokenizers.Tokenizer(tokenizers.models.BPE())


def unable():
  """Return a tokenizer without a token for unknown words."""
  model = tokenizers.models.WordLevel({"The": 0})
  made = tokenizers.Tokenizer(model)
  made.pre_tokenizer = pre_tokenizers.Whitespace()
  return made


VERSION = f"tokenizers {tokenizers.__version__} reads"


@pytest.mark.parametrize(
  ("content", "options", "message"),
  [
    ("", {}, ": It is not a tokenizer.json, which has a model."),
    ({"model_type": "gpt2"}, {}, ": It is not a tokenizer.json, which has a model."),
    ('{"model": ', {}, f": It is not a tokenizer.json that {VERSION}: EOF while"),
    ('{"model": 3}', {}, f": It is not a tokenizer.json that {VERSION}: "),
    (
      as_json(library.byte_level()) | {"version": "9.0"},
      {},
      f": It is not a tokenizer.json that {VERSION}: Unknown tokenizer version '9.0'",
    ),
    (without_tokens(), {}, ": It is the tokenizer.json of a tokenizer without tokens."),
    (
      library.byte_level(special=["<pad>"]),
      {},
      ": It has none of the usual tokens between documents (<|endoftext|> <|end_of_text|>",
    ),
    (
      library.byte_level(),
      {"separator": "<endoftext>"},
      ": separator='<endoftext>' is not one of its special tokens. Did you mean "
      "'<|endoftext|>'?",
    ),
  ],
)
def test_a_file_that_does_not_fit_is_refused(content, options, message, saved):
  path = saved(content)
  with pytest.raises(UserError) as caught:
    vocabulary_of(path, **options)
  assert str(caught.value).startswith(f"{path}{message}")


def test_a_separator_is_not_needed_if_none_is_requested(saved):
  path = saved(library.byte_level(special=["<pad>"]))
  assert vocabulary_of(path, separated=False).separator is None
  with pytest.raises(UserError, match="is not one of its special tokens"):
    vocabulary_of(path, separated=False, separator="<pat>")


def test_a_path_without_a_file_is_refused(saved, tmp_path):
  saved(library.byte_level(), "tokenizer.json")
  with pytest.raises(UserError, match=r"/tokeniser.json does not exist. Did you mean"):
    vocabulary_of(tmp_path / "tokeniser.json")
  (tmp_path / "empty").mkdir()
  with pytest.raises(UserError, match=r"empty/tokenizer.json does not exist. Paths st"):
    vocabulary_of(tmp_path / "empty")
  with pytest.raises(UserError, match=r"The tokenizer's path /dev/zero is not that of"):
    vocabulary_of("/dev/zero")
  (tmp_path / "image.json").write_bytes(b"\x89PNG\xff")
  with pytest.raises(UserError, match=r"image.json: It is no text"):
    vocabulary_of(tmp_path / "image.json")


def test_a_text_without_tokens_is_refused(saved):
  vocabulary = vocabulary_of(saved(unable()), separated=False)
  with pytest.raises(UserError, match="has no token for a part of the text: WordLevel"):
    vocabulary.encode("The dog")


def test_the_library_is_named_if_it_is_not_installed(saved, monkeypatch):
  path = saved(library.byte_level())
  monkeypatch.setitem(sys.modules, "tokenizers", None)
  with pytest.raises(UserError, match=r"needs tokenizers: pip install tokenizers, or"):
    vocabulary_of(path)
