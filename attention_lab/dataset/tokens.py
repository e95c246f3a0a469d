"""Token files as nanoGPT, modded-nanogpt and numpy write them, by windows."""

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Iterable, Mapping

import numpy as np

from attention_lab.dataset.base.dataset import SPLITS, register_dataset
from attention_lab.dataset.base.kept import PROMPT, VOCABULARY_SIZE
from attention_lab.dataset.base.shards import Shard, Shards, read_shards
from attention_lab.dataset.base.text import SEPARATED, kept_files, kept_tokenizer
from attention_lab.dataset.base.windows import Windows, first_text
from attention_lab.dataset.reader.paths import find_files
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.kept import packed, unpacked
from attention_lab.tokenizer.base.tokenizer import TextVocabulary, Tokenizer, tokenizers
from attention_lab.tokenizer.base.vocabulary import (
  MOST_WORDS,
  Vocabulary,
  WordVocabulary,
)


@register_dataset("tokens")
@dataclasses.dataclass(kw_only=True)
class Tokens(Windows):
  """The tokens of files, which are concatenated in the order of their names.

  A file is `.bin`, with uint16 tokens that may follow the header of modded-nanogpt
  (256 int32: 20240520, 1, the number of tokens), or `.npy`, with a sequence of integers.
  Files are searched for in the current folder, then in --data_dir. They are never in memory
  as a whole. Samples and prompts are texts if the tokenizer is named that made the tokens,
  or else numbers with spaces between them. A run keeps the tokenizer or the size of the
  vocabulary, and the default prompt.
  """

  train: str  # Files to train on: a path, or a pattern such as 'shards/train_*.bin'.
  validation: str  # Files to validate on.
  test: str = ""  # Files of the split "test", which --mode=evaluate reads; "" for none.
  vocabulary_size: int | None = None  # Tokens; None for 1 more than the largest found.
  # The token in front of each document, such as 50256 in GPT-2's vocabulary; None for none.
  separator: int | None = None
  # The tokenizer that made the tokens, if it is a file: "huggingface(path='…')".
  tokenizer: str = ""

  def __post_init__(self) -> None:
    super().__post_init__()
    size = self.vocabulary_size
    if self.tokenizer and self.separator is not None:
      raise UserError(
        f"separator={self.separator}: the tokenizer {self.tokenizer} names it; omit it."
      )
    if size is not None and not 2 <= size <= MOST_WORDS:
      raise UserError(f"vocabulary_size={size}: take 2 to {MOST_WORDS:,}.")

  @property
  def splits(self) -> tuple[str, ...]:
    return (*SPLITS, "test") if self.test else SPLITS

  @functools.cached_property
  def _read(self) -> dict[str, Shards]:
    """The files of each split."""
    return {
      split: read_shards(find_files(getattr(self, split), self.data_dir))
      for split in self.splits
    }

  @functools.cached_property
  def _splits(self) -> dict[str, Shards]:
    """The files of each split, which fit the options and each other."""
    _refuse_common(self._read)
    for split, shards in self._read.items():
      _refuse_outside(shards.files, self.vocabulary.size)
      _refuse_narrow(shards.files, self.vocabulary_size or 0)
      if len(shards) <= self.sequence_length:
        raise UserError(
          f"{split}={getattr(self, split)!r} has {len(shards)} tokens, fewer than a "
          f"window of sequence_length + 1 = {self.sequence_length + 1}; lower "
          f"sequence_length."
        )
    return self._read

  @functools.cached_property
  def vocabulary(self) -> Vocabulary:
    if self.tokenizer:
      return self._tokenized
    kept = unpacked(self.kept, VOCABULARY_SIZE)
    size = self.vocabulary_size
    if size is None:
      size = self._found() + 1 if kept is None else int(kept)
    return WordVocabulary.numbers(size, self.separator)

  @functools.cached_property
  def _tokenized(self) -> TextVocabulary:
    """The tokenizer's vocabulary, with a separator if the tokens may have it."""
    made = _of_file(self.tokenizer)
    files = self._tokenizer_files
    if self.kept:
      vocabulary = made.vocabulary(files, SEPARATED in self.kept)
    else:
      vocabulary = _of_tokens(made, files, self._found())
    if self.vocabulary_size not in (None, vocabulary.size):
      raise UserError(
        f"vocabulary_size={self.vocabulary_size}: the tokenizer {self.tokenizer} has "
        f"{vocabulary.size} tokens; omit it."
      )
    return vocabulary

  @functools.cached_property
  def _tokenizer_files(self) -> Mapping[str, bytes]:
    kept = kept_tokenizer(self.kept, self.tokenizer)
    return _of_file(self.tokenizer).learn(tuple, False) if kept is None else kept

  def _found(self) -> int:
    """Return the largest token of all splits."""
    files = [*itertools.chain.from_iterable(x.files for x in self._read.values())]
    _refuse_outside(files, MOST_WORDS)
    largest = max(file.farthest for file in files)
    if not largest:
      raise UserError("Every token of the data is 0: nothing to learn.")
    return largest

  @functools.cached_property
  def fingerprint(self) -> str:
    digests = [[file.sha256 for file in self._read[split].files] for split in SPLITS]
    return hashlib.sha256(repr(digests).encode()).hexdigest()

  def files(self) -> Mapping[str, bytes]:
    files = {PROMPT: packed(self.prompt())}
    if not self.tokenizer:
      return {VOCABULARY_SIZE: packed(str(self.vocabulary.size)), **files}
    return files | kept_files(self.tokenizer, self.vocabulary, self._tokenizer_files)

  def prompt(self) -> str:
    kept = unpacked(self.kept, PROMPT)
    return first_text(self) if kept is None else kept

  def described(self, batch_size: int) -> str:
    del batch_size
    counts = ", ".join(f"{len(x):,} in {split}" for split, x in self._splits.items())
    known = self.vocabulary_size or self.tokenizer
    origin = "" if known else f" (largest found: {self._found():,})"
    return f"Tokens: {counts}; vocabulary of {self.vocabulary.size:,}{origin}"

  def length(self, split: str) -> int:
    return len(self._splits[split])

  def windows(self, split: str, starts: np.ndarray) -> np.ndarray:
    return self._splits[split].take(starts, self.sequence_length + 1)


def _of_file(spec: str) -> Tokenizer:
  """Return a tokenizer; raise `UserError` if it would have to learn from a text."""
  made: Tokenizer = tokenizers.bind(spec)()
  if made.learns_from != "none":
    known = [name for name in tokenizers if tokenizers[name].learns_from == "none"]  # type: ignore[attr-defined]
    raise UserError(
      f"tokenizer={spec!r} is learnt from a text, and the data are tokens: name the one "
      f"that made them, {' or '.join(known)}."
    )
  return made


def _of_tokens(
  made: Tokenizer, files: Mapping[str, bytes], largest: int
) -> TextVocabulary:
  """Return the vocabulary of tokens of which the largest is known.

  It has a separator if that adds no token, or if the largest token needs it.
  """
  plain = made.vocabulary(files, False)
  try:
    separated = made.vocabulary(files, True)
    fits = separated.size == plain.size or largest >= plain.size
  except UserError:  # The file names no usual separator.
    return plain
  return separated if fits else plain


def _refuse_common(splits: Mapping[str, Shards]) -> None:
  """Raise `UserError` if two splits have a file of the same content."""
  known: dict[str, tuple[str, Shard]] = {}
  for split, shards in splits.items():
    for file in shards.files:
      other, same = known.setdefault(file.sha256, (split, file))
      if other != split:
        raise UserError(
          f"{file.path} of {split} has the content of {same.path} of {other}; each split "
          f"needs files of its own."
        )


def _refuse_outside(files: Iterable[Shard], size: int) -> None:
  """Raise `UserError` if a file has a token outside a vocabulary."""
  for file in files:
    if not 0 <= file.farthest < size:
      raise UserError(
        f"{file.path} has the token {file.farthest} at place {file.place:,} (from 0); "
        f"the vocabulary has {size:,} tokens, 0 to {size - 1:,}."
      )


def _refuse_narrow(files: Iterable[Shard], size: int) -> None:
  """Raise `UserError` if the integers of a file cannot hold a vocabulary."""
  for file in files:
    dtype = file.layout.dtype
    if (most := np.iinfo(dtype).max) < size - 1:
      raise UserError(
        f"{file.path} has tokens of {dtype.name}, at most {most:,}: they were cut off, or "
        f"vocabulary_size={size} is wrong. Save them as a wider type, in .npy."
      )
