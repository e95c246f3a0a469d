"""Subwords of the text by byte-pair encoding (Sennrich et al., arXiv:1508.07909).

They are learned by sentencepiece (Kudo & Richardson, arXiv:1808.06226), with options that
keep every character: decoding returns the text exactly.
"""

import dataclasses
import functools
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from attention_lab.plugin.ranges import Range
from attention_lab.tokenizer.base.pieces import Pieces
from attention_lab.tokenizer.base.subwords import (
  UNKNOWN,
  learn_subwords,
  sentencepiece,
)
from attention_lab.tokenizer.base.tokenizer import Tokenizer, register_tokenizer
from attention_lab.tokenizer.base.vocabulary import Document, text_of

EXTRA = "tokenizers"  # Of the installation, with sentencepiece.
MODEL = "subwords.model"  # The name of the file that a run keeps.
LONGEST = 4_000  # Characters of a segment.
AT_ONCE = 4_096  # Segments that are encoded at a time.
MANY = 3_000_000  # Characters from which on learning takes long enough for a message.
# sentencepiece writes a space as this character, and would decode it as a space.
SPACE = "▁"
# A line with the line ends before it: sentencepiece learns none at the end of a line. One
# that is longer ends before a space if it has any.
SEGMENT = re.compile(
  rf"{SPACE}|[\r\n]{{0,{LONGEST}}}+(?:[^\r\n{SPACE}]{{1,{LONGEST}}}+(?![^\r\n{SPACE}])"
  rf"|[^\r\n{SPACE}]{{1,{LONGEST}}}(?= )|[^\r\n{SPACE}]{{1,{LONGEST}}})"
  rf"|[\r\n]{{1,{LONGEST}}}"
)


@register_tokenizer("bpe")
@dataclasses.dataclass(kw_only=True)
class Bpe(Tokenizer):
  """Pairs of neighbours that are frequent in the training documents become tokens.

  Tokens are one token for separators (0), the 256 bytes, and subwords. A character that is
  no token is encoded as its bytes in UTF-8, so that every text can be encoded. Subwords
  contain a space only at their start, unless they are spaces alone, and line ends only at
  their start; letters are not joined with punctuation. Documents are encoded line by line,
  with the line ends in front of each line.

  Subwords are learned from at most `learn_from` characters. If the training documents have
  more, lines are chosen by random numbers of a fixed seed, between half of `learn_from` and
  all of it. The result is a function of documents, options and sentencepiece's version.
  """

  # Tokens, the 256 bytes and the separator's included.
  vocabulary_size: Annotated[int, Range(1, 1_000_000)] = 8_000
  # Most characters to learn from; memory and time grow with them.
  learn_from: Annotated[int, Range(10_000)] = 10_000_000

  def learn(
    self, documents: Callable[[], Iterable[Document]], separated: bool
  ) -> Mapping[str, bytes]:
    del separated  # Token 0 is always there.
    sentencepiece(EXTRA)
    found = (each for each in _segments(documents()) if each != SPACE)
    lines = sample(found, self.learn_from)
    if (total := sum(map(len, lines))) > MANY:
      print(
        f"Learning {self.vocabulary_size:,} subwords from {total:,} characters …",
        file=sys.stderr,
      )
    model = learn_subwords(
      lines,
      self.vocabulary_size,
      bos_id=-1,
      eos_id=-1,
      add_dummy_prefix=False,
      remove_extra_whitespaces=False,
      allow_whitespace_only_pieces=True,
    )
    return {MODEL: model}

  def vocabulary(self, files: Mapping[str, bytes], separated: bool) -> "BpeVocabulary":
    return BpeVocabulary(files[MODEL], separated)


@dataclasses.dataclass(frozen=True)
class BpeVocabulary(Pieces):
  """The tokens of a sentencepiece model that keeps every character."""

  model: bytes = dataclasses.field(repr=False)  # Content of a sentencepiece file.
  separated: bool  # Whether there is a separator.

  @functools.cached_property
  def _processor(self) -> Any:
    return sentencepiece(EXTRA).SentencePieceProcessor(model_proto=self.model)

  @functools.cached_property
  def pieces(self) -> tuple[bytes, ...]:
    """Text of each token as bytes."""
    processor = self._processor
    names = map(processor.id_to_piece, range(processor.vocab_size()))
    return tuple(
      b""
      if token == UNKNOWN
      else bytes([int(name[1:-1], 16)])
      if processor.is_byte(token)
      else name.replace(SPACE, " ").encode()
      for token, name in enumerate(names)
    )

  @property
  def separator(self) -> int | None:
    """The token in front of each document; None if the text is one document."""
    return UNKNOWN if self.separated else None

  @functools.cached_property
  def _space(self) -> list[int]:
    """Tokens of the character `SPACE`."""
    return [self.pieces.index(bytes([byte])) for byte in SPACE.encode()]

  def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
    """Return the tokens of each text, int32 [subwords]."""
    parts: list[list[np.ndarray]] = [[] for _ in texts]
    numbered = (
      (number, segment)
      for number, text in enumerate(texts)
      for segment in _segments([text])
    )
    while batch := list(itertools.islice(numbered, AT_ONCE)):
      encoded = self._encode([segment for _, segment in batch])
      pairs = zip(batch, encoded, strict=True)
      for number, group in itertools.groupby(pairs, key=lambda pair: pair[0][0]):
        tokens = itertools.chain.from_iterable(each for _, each in group)
        parts[number].append(np.fromiter(tokens, np.int32))
    return [np.concatenate([np.zeros(0, np.int32), *each]) for each in parts]

  def _encode(self, segments: list[str]) -> list[list[int]]:
    """Return the tokens of segments."""
    # One thread, as several processes encode a large text.
    encoded: list[list[int]] = self._processor.encode(segments, num_threads=1)
    return [
      self._space if segment == SPACE else tokens
      for segment, tokens in zip(segments, encoded, strict=True)
    ]


def _segments(documents: Iterable[Document]) -> Iterator[str]:
  """Yield the text of documents in parts that are encoded one by one."""
  for document in documents:
    yield from (found[0] for found in SEGMENT.finditer(text_of(document)))


def sample(lines: Iterable[str], most: int) -> list[str]:
  """Return lines of at most `most` characters: all, or some by chance, in their order.

  Every line is kept with the same probability, a power of 1/2 that is lowered when they
  become too many, so memory is bounded and the lines are read once.
  """
  random = np.random.default_rng(0)
  kept: list[tuple[float, str]] = []
  total, share = 0, 1.0
  for line in lines:
    number = random.random()
    if number >= share:
      continue
    kept.append((number, line))
    total += len(line)
    while total > most:
      share /= 2
      kept = [each for each in kept if each[0] < share]
      total = sum(len(each) for _, each in kept)
  return [line for _, line in kept]
