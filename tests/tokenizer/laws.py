"""Laws of every tokenizer, as functions that raise AssertionError."""

import dataclasses
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from attention_lab.tokenizer.base.tokenizer import tokenizers

CODE = 'def f(x):\n    if x > 10:\n\treturn "%d" % x  # é\n\n\n'
TRAINING = [
  "The quick brown fox jumps over the lazy dog. " * 3,
  CODE * 4,
  "",
  "Ünïcode: 😀 naïve — «quoted»,  two spaces, 1234.5\r\n" * 3,
]
# Characters and words that tokenizers treat in ways of their own.
SPECIAL = (
  "<|endoftext|>",
  "</s>",
  "<s>",
  "[SEP]",
  "<unk>",
  "<0x41>",
  "▁",
  "▅",
  "Ġ",
  "\n",
  "\r\n",
  "\t",
  "\0",
  "  ",
  " ",
  "\u00a0",
  "\u2028",
  "\ufeff",
  "e\u0301",
  "é",
  "ﬁ",
  "😀",
  "'s",
  "fox",
  "1234",
)
ANY = st.one_of(
  st.text(max_size=30), st.lists(st.sampled_from(SPECIAL), max_size=12).map("".join)
)


@dataclasses.dataclass(frozen=True)
class Case:
  """A tokenizer with its options, and the texts that it can encode."""

  spec: str
  every: bool = True  # Whether it encodes every text.
  exact: bool = True  # Whether the bytes of its tokens are known.

  def make(self) -> Any:
    """Return a new tokenizer."""
    return tokenizers.bind(self.spec)()

  def texts(self) -> Any:
    """Return a strategy of texts."""
    known = sorted(set("".join(TRAINING)))
    return ANY if self.every else st.text(known, max_size=30)

  def documents(self, texts: Sequence[str]) -> list[Any]:
    """Return texts as documents that the tokenizer reads."""
    reads = self.make().reads
    return [text.encode() if reads is bytes else text for text in texts]

  def files(self, separated: bool = True) -> dict[str, bytes]:
    """Return what the tokenizer learns of the training documents."""
    return dict(self.make().learn(lambda: iter(self.documents(TRAINING)), separated))


def is_exact(case: Case, vocabulary: Any, texts: Sequence[str]) -> None:
  """Decoding returns the text, and the bytes of its tokens are those of the text."""
  for text, document in zip(texts, case.documents(texts), strict=True):
    tokens = vocabulary.encode(text)
    assert tokens.dtype == np.int32
    assert tokens.ndim == 1
    (alone,) = vocabulary.encode_documents([document])
    np.testing.assert_array_equal(alone, tokens)
    assert isinstance(vocabulary.decode(tokens), str)
    if case.exact:
      assert vocabulary.decode(tokens) == text
      assert vocabulary.token_bytes[tokens].sum() == len(text.encode())


def has_no_separator(case: Case, vocabulary: Any, texts: Sequence[str]) -> None:
  """No document has a separator among its tokens; all are in the vocabulary."""
  for tokens in vocabulary.encode_documents(case.documents(texts)):
    assert vocabulary.separator not in tokens
    assert not tokens.size or 0 <= tokens.min() <= tokens.max() < vocabulary.size


def encodes_one_by_one(case: Case, vocabulary: Any, texts: Sequence[str]) -> None:
  """Documents are encoded as each alone."""
  documents = case.documents(texts)
  together = vocabulary.encode_documents(documents)
  assert len(together) == len(documents)
  for document, tokens in zip(documents, together, strict=True):
    assert np.issubdtype(tokens.dtype, np.integer)
    np.testing.assert_array_equal(vocabulary.encode_documents([document])[0], tokens)


TEXT_LAWS = (is_exact, has_no_separator, encodes_one_by_one)


def is_restored(case: Case) -> None:
  """Files are a function of the documents, and restore the vocabulary elsewhere."""
  files = case.files()
  assert files == case.files()
  assert all(isinstance(content, bytes) for content in files.values())
  one, other = case.make(), case.make()
  learned = one.vocabulary(
    one.learn(lambda: iter(case.documents(TRAINING)), True), True
  )
  restored = other.vocabulary(files, True)
  assert learned == restored
  learned.encode("The quick")
  assert pickle.loads(pickle.dumps(learned)) == learned  # In another process.
  texts = [text for text in TRAINING if text]
  for text in texts:
    np.testing.assert_array_equal(learned.encode(text), restored.encode(text))
  every = range(learned.size)
  assert [learned.decode([x]) for x in every] == [restored.decode([x]) for x in every]


def has_a_size(case: Case) -> None:
  """Every number decodes; a separator is in the vocabulary if one is requested."""
  for separated in (False, True):
    vocabulary = case.make().vocabulary(case.files(separated), separated)
    size, separator = vocabulary.size, vocabulary.separator
    assert (separator is not None) == separated
    if case.exact:
      assert vocabulary.token_bytes.shape == (size,)
      assert vocabulary.token_bytes.dtype == np.int32
      assert vocabulary.token_bytes.min() >= 0
    else:
      assert vocabulary.token_bytes is None
    if separated:
      assert 0 <= separator < size
      assert not case.exact or vocabulary.token_bytes[separator] == 0
      tokens = vocabulary.encode("The quick")
      text = vocabulary.decode([separator, *tokens, separator])
      assert text == vocabulary.decode(tokens)
    for token in (-1, *range(size), size, 2**31 - 1):
      assert isinstance(vocabulary.decode([token]), str)


LAWS = (is_restored, has_a_size)
