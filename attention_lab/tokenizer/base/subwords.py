"""Subwords by byte-pair encoding (Sennrich et al., arXiv:1508.07909), by sentencepiece.

sentencepiece (Kudo & Richardson, arXiv:1808.06226) learns them from raw text and decodes
them to raw text. Characters without a token are encoded as bytes, so no text is unknown.
"""

import dataclasses
import functools
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from attention_lab.errors import UserError, not_installed

COVERAGE = 0.9995  # Share of the characters that become tokens; the rest are bytes.
# sentencepiece leaves out, without a word, lines that are longer than 4,192 bytes by
# default, and lines with a character that it uses itself, which is encoded as bytes.
LONGEST = 2**30  # Bytes of a line; sentencepiece takes no more.
RESERVED = "▅"
UNKNOWN = 0  # Never the token of a text, since unknown characters are bytes.


@dataclasses.dataclass(frozen=True)
class SubwordVocabulary:
  """The tokens of a sentencepiece model of translations.

  Leading, trailing and repeated spaces are lost.
  """

  model: bytes = dataclasses.field(repr=False)  # Content of a sentencepiece file.

  @functools.cached_property
  def _processor(self) -> Any:
    return sentencepiece().SentencePieceProcessor(model_proto=self.model)

  @property
  def size(self) -> int:
    """Number of tokens."""
    return int(self._processor.vocab_size())

  @property
  def start_token(self) -> int:
    """Token that the inputs of a target begin with."""
    return int(self._processor.bos_id())

  @property
  def end_token(self) -> int:
    """Token that a source and a target end with."""
    return int(self._processor.eos_id())

  def encode(self, text: str) -> np.ndarray:
    """Return a text as int32 [subwords], without start and end tokens."""
    return np.array(self._processor.encode(text), np.int32)

  def encode_lines(self, lines: Sequence[str]) -> list[list[int]]:
    """Return the tokens of each line, encoded on all cores."""
    tokens: list[list[int]] = self._processor.encode(list(lines), num_threads=-1)
    return tokens

  def decode(self, tokens: Iterable[int]) -> str:
    """Return tokens as plain text, without start, end and padding."""
    return str(self._processor.decode([int(token) for token in tokens if token >= 0]))


def learn_subwords(lines: Iterable[str], size: int, **options: Any) -> bytes:
  """Return the sentencepiece model of `size` subwords, a pure function of its arguments.

  Args:
    lines: the text; line ends at the end of a line are not learned.
    size: number of tokens, the 256 bytes and the reserved ones included.
    **options: of sentencepiece, besides those that all models here have.

  Raises:
    UserError: the text has too many characters for this number of subwords, or too few
      words.
  """
  model = io.BytesIO()
  try:
    sentencepiece().SentencePieceTrainer.train(
      sentence_iterator=(line.replace(RESERVED, " ") for line in lines),
      model_writer=model,
      model_type="bpe",
      vocab_size=size,
      character_coverage=COVERAGE,
      byte_fallback=True,
      max_sentence_length=LONGEST,
      normalization_rule_name="identity",  # Scores compare unchanged text.
      unk_id=UNKNOWN,
      pad_id=-1,
      num_threads=1,
      minloglevel=2,
      **options,
    )
  except RuntimeError as error:
    raise _explained(str(error), size) from None
  return model.getvalue()


def _explained(error: str, size: int) -> Exception:
  """Return an error of sentencepiece as a `UserError` if it is a user's mistake."""
  start = f"vocabulary_size={size} does not fit this text: take"
  if found := re.search(r"too high .*<= (\d+)", error):
    return UserError(f"{start} {found[1]} or less.")
  if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", error):
    return UserError(f"{start} more than {found[1]}, its characters and the 256 bytes.")
  if "sentences_.empty()" in error or "all_chars_count" in error:
    return UserError("There is no text to learn subwords from: every line is blank.")
  return RuntimeError(error)


def sentencepiece(extra: str = "translate") -> Any:
  """Return the library; raise `UserError`, which names an extra, if it is missing."""
  try:
    import sentencepiece
  except ImportError:
    raise not_installed("A vocabulary of subwords", extra, "sentencepiece") from None
  return sentencepiece
