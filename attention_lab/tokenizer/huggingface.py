"""A `tokenizer.json` of Hugging Face's library `tokenizers` (no paper)."""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from attention_lab.errors import UserError, nearest, not_installed
from attention_lab.tokenizer.base.file import read_file
from attention_lab.tokenizer.base.pieces import Pieces
from attention_lab.tokenizer.base.spelling import Spelling, spelling_of
from attention_lab.tokenizer.base.tokenizer import Tokenizer, register_tokenizer
from attention_lab.tokenizer.base.vocabulary import Document

FILE = "tokenizer.json"
# Special tokens that models have between documents, by precedence.
SEPARATORS = (
  "<|endoftext|>",
  "<|end_of_text|>",
  "</s>",
  "<eos>",
  "<|eos|>",
  "[EOS]",
  "[SEP]",
  "<s>",
  "<bos>",
  "<|begin_of_text|>",
)
AT_ONCE = 1_000_000  # Characters that are encoded at a time, with more in one document.


@register_tokenizer("huggingface")
@dataclasses.dataclass(kw_only=True)
class HuggingFace(Tokenizer):
  """The tokens of a file `tokenizer.json`, as `tokenizers` and `transformers` save it.

  Texts are encoded without the special tokens that a post-processor adds, and what reads
  like a special token inside a document is plain text. Truncation, padding and dropout
  that the file asks for are off.

  The bytes of each token are known, and decoding is exact, if the file states that nothing
  is lost: BPE of bytes (as of GPT-2, without a space added in front), or with "▁" for
  spaces and tokens for all bytes (without one added in front, as of Gemma), no
  normalisation, and no splitting that removes spaces. Otherwise the text may read back
  differently, and bits per byte take the mean number of bytes per token.
  """

  learns_from: ClassVar[str] = "none"

  path: str  # The file, or the folder that holds a tokenizer.json.
  separator: str = ""  # Special token in front of each document; "" for a usual one.

  def learn(
    self, documents: Callable[[], Iterable[Document]], separated: bool
  ) -> Mapping[str, bytes]:
    del documents
    files = {FILE: read_file(self.path, FILE)}
    try:
      _ = self.vocabulary(files, separated).size  # Reads the content.
    except UserError as error:
      raise UserError(f"{self.path}: {error}") from None
    return files

  def vocabulary(
    self, files: Mapping[str, bytes], separated: bool
  ) -> "HuggingFaceVocabulary":
    return HuggingFaceVocabulary(files[FILE], separated, self.separator)


@dataclasses.dataclass(frozen=True)
class HuggingFaceVocabulary(Pieces):
  """The tokens of a `tokenizer.json`."""

  content: bytes = dataclasses.field(repr=False)  # Of the file.
  separated: bool  # Whether there is a separator.
  separator_name: str = ""  # The special token that it is; "" for a usual one.

  @functools.cached_property
  def _tokenizer(self) -> Any:
    tokenizer = loaded(self.content)
    if self.separated or self.separator_name:
      name = _separator(tokenizer, self.separator_name)
      # Not a token of a document, even if the file does not call it special.
      tokenizer.add_special_tokens([name] if self.separated else [])
    tokenizer.encode_special_tokens = True  # As plain text.
    return tokenizer

  @functools.cached_property
  def _spelling(self) -> Spelling:
    names = self._tokenizer.get_vocab(with_added_tokens=True)
    return spelling_of(json.loads(self.content), names)

  @functools.cached_property
  def pieces(self) -> tuple[bytes, ...]:
    """Text of each token as bytes; approximate unless `is_exact`."""
    names: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
    spelling, found = self._spelling, [b""] * (max(names.values()) + 1)
    for name, token in names.items():
      found[token] = spelling.bytes_of(name)
    for token, added in self._tokenizer.get_added_tokens_decoder().items():
      if not spelling.is_byte(added.content):
        found[token] = b"" if added.special else added.content.encode()
    return tuple(found)

  @functools.cached_property
  def is_exact(self) -> bool:
    """Whether tokens stand for the same bytes wherever they are, and none are lost."""
    return self._spelling.lossless and self.keeps_every_text()

  @functools.cached_property
  def token_bytes(self) -> np.ndarray | None:
    """Bytes of the text that each token stands for: int32 [V]; None if inexact."""
    return self.piece_bytes() if self.is_exact else None

  @functools.cached_property
  def separator(self) -> int | None:
    """The token in front of each document; None if the text is one document."""
    if not self.separated:
      return None
    name = _separator(self._tokenizer, self.separator_name)
    return int(self._tokenizer.token_to_id(name))

  def special_token(self, name: str) -> int | None:
    """Return the special token of a name; None if there is none."""
    added = self._tokenizer.get_added_tokens_decoder()
    return next((token for token, x in added.items() if x.content == name), None)

  def decode(self, tokens: Iterable[int]) -> str:
    """Return tokens as text, without special tokens."""
    if self.is_exact:
      return super().decode(tokens)
    size = self.size
    known = [int(token) for token in tokens if 0 <= token < size]
    return str(self._tokenizer.decode(known, skip_special_tokens=True))

  def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
    """Return the tokens of each text, int32 [length], encoded on all cores."""
    space = self._spelling.space
    if not (space and self._spelling.lossless):
      return self._encode(texts)
    # A text may have the character that names have for a space: it is encoded as bytes.
    split = [text.split(space) for text in texts]
    encoded = iter(self._encode([text for parts in split for text in parts]))
    between = [self.pieces.index(bytes([byte])) for byte in space.encode()]
    return [
      np.concatenate(
        [np.array(each, np.int32) for _ in parts for each in (between, next(encoded))]
      )[len(between) :]
      for parts in split
    ]

  def _encode(self, texts: Sequence[str]) -> list[np.ndarray]:
    """Return the tokens of texts, some of them at a time."""
    found = []
    for group in _groups(texts):
      try:
        encoded = self._tokenizer.encode_batch_fast(group, add_special_tokens=False)
      except Exception as error:  # As the library raises it.
        raise UserError(
          f"The tokenizer has no token for a part of the text: {error}."
        ) from None
      found += [np.array(each.ids, np.int32) for each in encoded]
    return found


def loaded(content: bytes) -> Any:
  """Return the tokenizer of a file's content.

  Raises:
    UserError: the content is not that of a `tokenizer.json`, or `tokenizers` is missing.
  """
  library = _library()
  try:
    tokenizer = library.Tokenizer.from_str(content.decode())
  except UnicodeDecodeError:
    raise UserError("It is no text, and so no tokenizer.json.") from None
  except Exception as error:  # As the library raises it.
    if b'"model":' not in content:
      raise UserError(
        "It is not a tokenizer.json, which has a model. Files such as vocab.json and "
        "tokenizer_config.json are another part of a tokenizer."
      ) from None
    raise UserError(
      f"It is not a tokenizer.json that tokenizers {library.__version__} reads: {error}."
    ) from None
  if not tokenizer.get_vocab_size(with_added_tokens=True):
    raise UserError("It is the tokenizer.json of a tokenizer without tokens.")
  tokenizer.no_truncation()
  tokenizer.no_padding()
  if hasattr(tokenizer.model, "dropout"):
    tokenizer.model.dropout = None
  return tokenizer


def _library() -> Any:
  try:
    import tokenizers
  except ImportError:
    raise not_installed(
      "The tokenizer huggingface", "tokenizers", "tokenizers"
    ) from None
  return tokenizers


def _separator(tokenizer: Any, name: str) -> str:
  """Return the name of the separator; raise `UserError` if it is no special token."""
  added = [x.content for x in tokenizer.get_added_tokens_decoder().values()]
  if name:
    if name not in added:
      raise UserError(
        f"separator={name!r} is not one of its special tokens. {nearest(name, added)}"
      )
    return name
  for usual in SEPARATORS:
    if usual in added:
      return usual
  raise UserError(
    f"It has none of the usual tokens between documents ({' '.join(SEPARATORS)}). Name "
    f"one: huggingface(separator='...'). Its special tokens: {' '.join(added) or 'none'}."
  )


def _groups(texts: Sequence[str]) -> Iterator[list[str]]:
  """Yield texts in groups of about `AT_ONCE` characters."""
  group: list[str] = []
  size = 0
  for text in texts:
    group.append(text)
    size += len(text)
    if size >= AT_ONCE:
      yield group
      group, size = [], 0
  if group:
    yield group
