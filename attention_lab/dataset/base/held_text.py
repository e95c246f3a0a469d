"""A text in memory, encoded at each start: one document, its parts the splits."""

import functools
import hashlib
from collections.abc import Mapping

import numpy as np

from attention_lab.dataset.base.corpus import count_characters
from attention_lab.dataset.base.division import NAMES, parts
from attention_lab.dataset.base.prepared import Facts, Prepared
from attention_lab.dataset.base.rule import Rule
from attention_lab.tokenizer.base.kept import packed
from attention_lab.tokenizer.base.tokenizer import Tokenizer
from attention_lab.tokenizer.base.vocabulary import Vocabulary, separator_of


class Held:
  """Tokens in memory."""

  def __init__(self, tokens: np.ndarray):
    self._tokens = tokens

  def __len__(self) -> int:
    return len(self._tokens)

  def take(self, starts: np.ndarray, length: int) -> np.ndarray:
    """Return the `length` tokens from each start on, int32 [B, length].

    Behind the end, the last one is repeated.
    """
    at = starts[:, None] + np.arange(length)
    return self._tokens.take(at, mode="clip").astype(np.int32)


class HeldText:
  """The tokens of a text in memory.

  Args:
    content: the text, or its bytes for a tokenizer that reads bytes.
    tokenizer: the tokenizer.
    rule: how the text is divided.
  """

  line_ends = 0  # Number of "\\r\\n" that were replaced, as far as it knows.

  def __init__(self, content: str | bytes, tokenizer: Tokenizer, rule: Rule):
    self.content, self._tokenizer, self._rule = content, tokenizer, rule

  @functools.cached_property
  def _bytes(self) -> bytes:
    return packed(self.content) if isinstance(self.content, str) else self.content

  @functools.cached_property
  def fingerprint(self) -> str:
    """The sha256 of the text."""
    return hashlib.sha256(self._bytes).hexdigest()

  @property
  def separated(self) -> bool:
    """Whether each part has a separator in front."""
    return bool(self._rule.separators)

  def learned(self) -> Mapping[str, bytes]:
    """Return the files of the tokenizer."""
    return self._tokenizer.learn(lambda: [self.content], self.separated)

  def tokens(self, vocabulary: Vocabulary, files: Mapping[str, bytes]) -> Prepared:
    """Return the tokens of each split."""
    del files
    dtype = np.min_scalar_type(vocabulary.size - 1)
    division = self._rule.of_single(len(self._bytes), count_characters(self._bytes))
    splits, facts = {}, {}
    for index, content in parts([self._bytes], division):
      tokens = encode(vocabulary, content, isinstance(self.content, str)).astype(dtype)
      separator = separator_of(vocabulary)
      if self.separated and separator is not None:
        tokens = np.concatenate([np.array([separator], dtype), tokens])
      name = NAMES[index]
      splits[name] = Held(tokens)
      facts[name] = Facts(1, len(tokens), len(content), count_characters(content))
    return Prepared(None, splits, facts)


def encode(vocabulary: Vocabulary, content: bytes, decoded: bool) -> np.ndarray:
  """Return the tokens of a text that is given as bytes."""
  if decoded:
    return vocabulary.encode(content.decode("utf-8", "surrogatepass"))
  tokens: np.ndarray = vocabulary.encode_documents([content])[0]  # type: ignore[attr-defined]
  return tokens
