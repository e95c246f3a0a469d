"""Token files with the tokenizer that made them: its vocabulary, texts and mistakes."""

import re

import numpy as np
import pytest

from attention_lab.dataset.base.dataset import datasets
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.vocabulary import separator_of

TEXT = "To be, or not to be: that is the question.\n" * 3
BYTES = np.frombuffer(TEXT.encode(), np.uint8)
SEPARATED = np.concatenate([[256], BYTES]).astype(np.uint16)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  """A folder with bytes as tokens, with a separator and without, the current one."""
  monkeypatch.chdir(tmp_path)
  for name, tokens in (("plain", BYTES), ("separated", SEPARATED)):
    np.save(tmp_path / f"{name}.npy", tokens)
    np.save(tmp_path / f"{name}_validation.npy", tokens[:40])
  return tmp_path


def tokens(name="plain", kept=None, **options):
  """Return a dataset of token files that bytes made, unless the options say otherwise."""
  files = {"train": f"{name}.npy", "validation": f"{name}_validation.npy"}
  options = {"tokenizer": "bytes", "sequence_length": 8, **files, **options}
  spec = ", ".join(f"{key}={value!r}" for key, value in options.items())
  return datasets.bind(f"tokens({spec})")(data_dir="", kept=kept or {})


def test_the_vocabulary_is_that_of_the_tokenizer():
  data = tokens()
  assert (data.vocabulary.size, separator_of(data.vocabulary)) == (256, None)
  assert data.prompt() == "T"
  batch = data.examples("validation", 0, np.arange(1))
  assert data.vocabulary.decode(batch.targets[0]) == "o be, or"
  assert data.token_bytes.sum() == 256  # So there are bits per byte.
  assert "vocabulary of 256" in data.described(1)
  assert "largest found" not in data.described(1)


def test_a_separator_is_found_in_the_tokens():
  data = tokens("separated")
  assert (data.vocabulary.size, separator_of(data.vocabulary)) == (257, 256)
  assert data.prompt() == "T"  # Not the separator, which has no text.


@pytest.mark.parametrize("name", ["plain", "separated"])
def test_a_run_keeps_the_tokenizer_and_needs_no_data(name, folder):
  data = tokens(name)
  kept = dict(data.files())
  for path in folder.glob("*.npy"):
    path.unlink()
  later = tokens(name, kept=kept)
  assert later.vocabulary == data.vocabulary
  assert later.prompt() == "T"
  with pytest.raises(UserError, match="trained with tokenizer='bytes'"):
    _ = tokens(name, kept=kept, tokenizer="tiktoken(path='a.tiktoken')").vocabulary


def test_a_file_of_the_library_makes_the_vocabulary(folder):
  pytest.importorskip("tokenizers")
  pytest.importorskip("tiktoken")
  from tests.tokenizer.library import byte_level

  made = byte_level()
  made.save(str(folder / "tokenizer.json"))
  ids = np.array(made.encode(TEXT).ids, np.uint16)
  np.save("plain.npy", ids)
  np.save("plain_validation.npy", ids[:30])
  data = tokens(tokenizer="huggingface(path='tokenizer.json')")
  assert data.vocabulary.size == made.get_vocab_size()
  assert separator_of(data.vocabulary) == made.token_to_id("<|endoftext|>")
  batch = data.examples("validation", 0, np.arange(1))
  assert data.vocabulary.decode(batch.inputs[0]) == made.decode(ids[:8].tolist())
  kept = dict(data.files())
  (folder / "tokenizer.json").unlink()  # The run has its content.
  for path in folder.glob("*.npy"):
    path.unlink()
  later = tokens(tokenizer=data.tokenizer, kept=kept)
  assert later.vocabulary.encode(TEXT).tolist() == ids.tolist()


@pytest.mark.parametrize(
  ("options", "answer"),
  [
    ({"tokenizer": "bpe"}, "'bpe' is learnt from a text, and the data are tokens"),
    ({"tokenizer": "byte"}, "'byte' is not a tokenizer. Did you mean 'bytes'"),
    ({"separator": 256}, "separator=256: the tokenizer bytes names it; omit it"),
    (
      {"vocabulary_size": 300},
      "vocabulary_size=300: the tokenizer bytes has 256 tokens",
    ),
    ({"tokenizer": "huggingface(path='no.json')"}, "no.json"),
    ({"train": "large.npy"}, "large.npy has the token 999 at place 7 (from 0)"),
  ],
)
def test_tokens_that_do_not_fit_the_tokenizer_are_refused(options, answer):
  large = SEPARATED.copy()
  large[7] = 999
  np.save("large.npy", large)
  with pytest.raises(UserError, match=re.escape(answer)) as error:
    tokens(**options).size("train")
  assert "\n" not in str(error.value)
