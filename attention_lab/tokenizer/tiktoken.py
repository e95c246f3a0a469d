"""A file of merge ranks of OpenAI's library `tiktoken`, byte-pair encoding (no paper)."""

import base64
import binascii
import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from attention_lab.errors import UserError, nearest, not_installed
from attention_lab.tokenizer.base.file import read_file
from attention_lab.tokenizer.base.pieces import Pieces
from attention_lab.tokenizer.base.tokenizer import Tokenizer, register_tokenizer
from attention_lab.tokenizer.base.vocabulary import Document

FILE = "ranks.tiktoken"  # The name of the file that a run keeps.
SEPARATOR = "<|endoftext|>"
LARGEST = 2**24  # Exclusive bound of ranks.


class Encoding(NamedTuple):
  """An encoding of OpenAI."""

  pattern: str  # Regular expression of the parts of a text that are encoded alone.
  separator: int  # Its token <|endoftext|>.


GPT2 = (
  r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
)
CL100K = (
  r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
  r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = "|".join(
  [
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{SUFFIX}",
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{SUFFIX}",
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
  ]
)
ENCODINGS = {
  "gpt2": Encoding(GPT2, 50_256),
  "r50k_base": Encoding(GPT2, 50_256),
  "p50k_base": Encoding(GPT2, 50_256),
  "cl100k_base": Encoding(CL100K, 100_257),
  "o200k_base": Encoding(O200K, 199_999),
}


@register_tokenizer("tiktoken")
@dataclasses.dataclass(kw_only=True)
class Tiktoken(Tokenizer):
  """The tokens of a `.tiktoken` file: a token in base64 and its rank on each line.

  `pattern` is the regular expression that tiktoken splits text by, or the name of an
  encoding that has it: gpt2 (r50k_base, p50k_base), cl100k_base or o200k_base. Special
  tokens inside documents are plain text. The separator <|endoftext|> has the number that
  it has in the encoding of this name, if the ranks are those, or else follows the largest.
  """

  learns_from: ClassVar[str] = "none"

  path: str  # The file.
  pattern: str = (
    ""  # Name of an encoding, or an expression; "" for the name of the file.
  )

  def learn(
    self, documents: Callable[[], Iterable[Document]], separated: bool
  ) -> Mapping[str, bytes]:
    del documents
    library()
    files = {FILE: read_file(self.path)}
    try:
      vocabulary = self.vocabulary(files, separated)
    except UserError as error:
      raise UserError(f"{self.path}: {error}") from None
    if not vocabulary.keeps_every_text():
      raise UserError(f"pattern={self.pattern!r} leaves out a part of some texts.")
    return files

  def vocabulary(
    self, files: Mapping[str, bytes], separated: bool
  ) -> "TiktokenVocabulary":
    name = self.pattern or Path(self.path).name.partition(".")[0]
    known = ENCODINGS.get(name)
    if known is None and (not self.pattern or re.fullmatch(r"[\w.-]+", name)):
      which = f"pattern={name!r}" if self.pattern else "Its name"
      raise UserError(
        f"{which} is not that of an encoding. {nearest(name, ENCODINGS)} Set "
        f"tiktoken(pattern='...') to one of {', '.join(ENCODINGS)}, or to an expression."
      )
    ranks = read_ranks(files[FILE]).values()
    separator = max(ranks) + 1
    if known and known.separator <= separator + 1 and known.separator not in ranks:
      separator = known.separator  # OpenAI's encodings leave numbers out.
    return TiktokenVocabulary(
      files[FILE], known.pattern if known else name, separator if separated else None
    )


@dataclasses.dataclass(frozen=True)
class TiktokenVocabulary(Pieces):
  """The tokens of a file of merge ranks."""

  content: bytes = dataclasses.field(repr=False)  # Of the file.
  pattern: str  # Regular expression of the parts of a text that are encoded alone.
  separator: int | None  # In front of each document; None if the text is one document.

  @functools.cached_property
  def _ranks(self) -> dict[bytes, int]:
    return read_ranks(self.content)

  @functools.cached_property
  def _encoding(self) -> Any:
    special = {} if self.separator is None else {SEPARATOR: self.separator}
    try:
      return library().Encoding(
        "attention_lab",
        pat_str=self.pattern,
        mergeable_ranks=self._ranks,
        special_tokens=special,
      )
    except ValueError as error:
      raise UserError(
        f"pattern={self.pattern!r} is no regular expression: {error}."
      ) from None

  @functools.cached_property
  def pieces(self) -> tuple[bytes, ...]:
    """Text of each token as bytes; empty for a separator and for numbers without rank."""
    found = [b""] * (1 + max(*self._ranks.values(), self.separator or 0))
    for piece, rank in self._ranks.items():
      found[rank] = piece
    return tuple(found)

  def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
    """Return the tokens of each text, int32 [length]."""
    encode = self._encoding.encode_ordinary
    try:
      return [np.array(encode(text), np.int32) for text in texts]
    except BaseException as error:
      if type(error).__name__ != "PanicException":  # Of Rust, not an Exception.
        raise
      raise UserError(
        f"tiktoken cannot encode a text, perhaps because of very many spaces in a row: "
        f"{error}."
      ) from None


def read_ranks(content: bytes) -> dict[bytes, int]:
  """Return the rank of each token.

  Raises:
    UserError: a line is no token with its rank, two lines have the same, or a byte has no
      token.
  """
  ranks: dict[bytes, int] = {}
  lines: dict[int, int] = {}  # The line of each rank.
  for number, line in enumerate(content.splitlines(), 1):
    if not line.strip():
      continue
    token, rank = _line(number, line)
    if token in ranks or rank in lines:
      other = lines[ranks.get(token, rank)]
      raise UserError(f"Line {number} repeats the token or the rank of line {other}.")
    ranks[token], lines[rank] = rank, number
  missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
  if missing:
    raise UserError(
      f"It is not a file of merge ranks: {len(missing)} of the 256 bytes have no token, "
      f"such as 0x{missing[0]:02X}."
    )
  return ranks


def _line(number: int, line: bytes) -> tuple[bytes, int]:
  """Return the token and the rank of a line."""
  try:
    token, rank = line.split()
    found = base64.b64decode(token, validate=True), int(rank)
  except (ValueError, binascii.Error):
    shown = line[:40].decode("utf-8", "replace")
    raise UserError(
      f"Line {number} is no token in base64 with its rank, but {shown!r}."
    ) from None
  if not found[0] or not 0 <= found[1] < LARGEST:
    raise UserError(
      f"Line {number} has no token, or a rank outside 0 to {LARGEST - 1}."
    )
  return found


def library() -> Any:
  """Return the library; raise `UserError` if it is not installed."""
  try:
    import tiktoken
  except ImportError:
    raise not_installed("The tokenizer tiktoken", "tokenizers", "tiktoken") from None
  return tiktoken
