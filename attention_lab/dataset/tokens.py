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
from attention_lab.dataset.base.windows import Windows
from attention_lab.dataset.reader.paths import find_files
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.kept import packed, unpacked
from attention_lab.tokenizer.base.vocabulary import MOST_WORDS, WordVocabulary


@register_dataset("tokens")
@dataclasses.dataclass(kw_only=True)
class Tokens(Windows):
  """The tokens of files, which are concatenated in the order of their names.

  A file is `.bin`, with uint16 tokens that may follow the header of modded-nanogpt
  (256 int32: 20240520, 1, the number of tokens), or `.npy`, with a sequence of integers.
  Files are searched for in the current folder, then in --data_dir. They are never in memory
  as a whole. Samples and prompts are numbers with spaces between them. A run keeps the size
  of the vocabulary and the default prompt.
  """

  train: str  # Files to train on: a path, or a pattern such as 'shards/train_*.bin'.
  validation: str  # Files to validate on.
  test: str = ""  # Files of the split "test", which --mode=evaluate reads; "" for none.
  vocabulary_size: int | None = None  # Tokens; None for 1 more than the largest found.
  # The token in front of each document, such as 50256 in GPT-2's vocabulary; None for none.
  separator: int | None = None

  def __post_init__(self) -> None:
    super().__post_init__()
    size = self.vocabulary_size
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
  def vocabulary(self) -> WordVocabulary:
    kept = unpacked(self.kept, VOCABULARY_SIZE)
    size = self.vocabulary_size
    if size is None:
      size = self._found() + 1 if kept is None else int(kept)
    return WordVocabulary.numbers(size, self.separator)

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
    size = str(self.vocabulary.size)
    return {VOCABULARY_SIZE: packed(size), PROMPT: packed(self.prompt())}

  def prompt(self) -> str:
    kept = unpacked(self.kept, PROMPT)
    return super().prompt() if kept is None else kept

  def described(self, batch_size: int) -> str:
    del batch_size
    counts = ", ".join(f"{len(x):,} in {split}" for split, x in self._splits.items())
    origin = "" if self.vocabulary_size else f" (largest found: {self._found():,})"
    return f"Tokens: {counts}; vocabulary of {self.vocabulary.size:,}{origin}"

  def length(self, split: str) -> int:
    return len(self._splits[split])

  def windows(self, split: str, starts: np.ndarray) -> np.ndarray:
    return self._splits[split].take(starts, self.sequence_length + 1)


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
