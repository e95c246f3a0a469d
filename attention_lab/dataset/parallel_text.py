"""Sentences and their translations: two files per split, line by line, in subwords.

Both languages share one vocabulary (Vaswani et al., arXiv:1706.03762, section 5.1: 37,000
subwords), learned from the training split. Encoded files are kept in a cache folder.
"""

import dataclasses
import functools
import hashlib
import itertools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from attention_lab.dataset.base.bucketed import Bucketed
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.digests import DIGESTS, refuse_damaged, write_digests
from attention_lab.dataset.base.kept import PROMPT
from attention_lab.dataset.base.lines import read_lines
from attention_lab.dataset.base.pairs import PairDataset
from attention_lab.dataset.base.parallel_files import (
  SIDES,
  SPLIT_NAMES,
  Names,
  ParallelFiles,
)
from attention_lab.dataset.base.token_file import Lines, token_file
from attention_lab.errors import UserError
from attention_lab.system.files import made_once, write_file
from attention_lab.tokenizer.base.kept import packed, unpacked
from attention_lab.tokenizer.base.subwords import (
  SubwordVocabulary,
  learn_subwords,
  sentencepiece,
)

VOCABULARY = "vocabulary.model"
LEARN_FROM = 4_000_000  # Largest number of lines that subwords are learned from.
MANY = 200_000  # Lines from which on learning takes long enough for a message.


class Split(NamedTuple):
  """The pairs of a split."""

  source: Lines
  target: Lines
  numbers: np.ndarray  # [size]: numbers of the lines that are used.
  lengths: np.ndarray  # [size]: positions that each of them needs.
  total: int  # Number of lines in the files.


@register_dataset("parallel_text")
@dataclasses.dataclass(kw_only=True)
class ParallelText(Bucketed, PairDataset):
  """Pairs of sentences: inputs begin with the start token; source and targets end with
  the end token.

  Training omits pairs that do not fit into `sequence_length` or are blank on one side.
  Validation and test use every pair, so that metrics refer to the same text for every
  length: sources are truncated before their end token; targets count as far as they fit.
  """

  tasks: ClassVar[tuple[str, ...]] = ("pairs",)

  source: str  # Files of the source language, such as '{split}.en'.
  target: str  # Files of the target language, such as '{split}.de'.
  train: Names = "train"  # What {split} stands for in training; several: ('a', 'b').
  validation: Names = ""  # The same in validation; "": valid, validation, val or dev.
  test: Names = ""  # The same in the test split; "": test, if it exists.
  vocabulary_size: int = 37_000  # Subwords of both languages, 256 bytes included.

  def __post_init__(self) -> None:
    _ = self._files  # Raises UserError for a pattern without {split}.
    least = {"sequence_length": 2, "buckets": 1, "vocabulary_size": 1, "seed": 0}
    for option, allowed in least.items():
      if getattr(self, option) < allowed:
        raise UserError(
          f"parallel_text({option}={getattr(self, option)}): take {allowed} or more."
        )

  @functools.cached_property
  def _files(self) -> ParallelFiles:
    return ParallelFiles(
      {side: getattr(self, side) for side in SIDES},
      {split: getattr(self, split) for split in SPLIT_NAMES},
      self.data_dir,
    )

  @functools.cached_property
  def _splits(self) -> "_Splits":
    return _Splits(self)

  @property
  def splits(self) -> tuple[str, ...]:
    return tuple(s for s in SPLIT_NAMES if s != "test" or self._files.exists("test"))

  @functools.cached_property
  def vocabulary(self) -> SubwordVocabulary:
    if VOCABULARY in self.kept:
      return SubwordVocabulary(self.kept[VOCABULARY])
    recipe = "subwords", sentencepiece().__version__, self.vocabulary_size
    folder = self._files.cache_folder(*recipe, *self._files.digests("train"))
    learn = functools.partial(_learn, self._files, self.vocabulary_size)
    made_once(folder / DIGESTS, learn, "data_dir")
    refuse_damaged(folder, [VOCABULARY])
    return SubwordVocabulary((folder / VOCABULARY).read_bytes())

  @property
  def start_token(self) -> int:
    return self.vocabulary.start_token

  def files(self) -> Mapping[str, bytes]:
    return {VOCABULARY: self.vocabulary.model, PROMPT: packed(self.prompt())}

  @property
  def fingerprint(self) -> str:
    digests = self._files.digests("train"), self._files.digests("validation")
    return hashlib.sha256(repr(digests).encode()).hexdigest()

  def lengths(self, split: str) -> np.ndarray:
    return self._splits[split].lengths

  def tokens(self, split: str) -> int:
    pairs = self._splits[split]
    needed = pairs.target.lengths[pairs.numbers] + 1
    return int(np.minimum(needed, self.sequence_length).sum())

  def padded(self, split: str, indices: np.ndarray, length: int) -> Batch:
    pairs, at = self._splits[split], np.arange(length)
    end = self.vocabulary.end_token
    numbers = pairs.numbers[indices]
    source, size = pairs.source.take(numbers, length)
    ended = np.where(at < np.minimum(size, length - 1), source, end)
    target, written = pairs.target.take(numbers, length)
    targets = np.where(at < written, target, end)
    start = np.full((len(numbers), 1), self.start_token)
    return Batch(
      inputs=np.concatenate([start, targets[:, :-1]], axis=1).astype(np.int32),
      targets=targets.astype(np.int32),
      weights=(at <= written).astype(np.float32),
      source=np.where(at <= size, ended, -1).astype(np.int32),
    )

  def source_tokens(self, text: str) -> np.ndarray:
    tokens = self.vocabulary.encode(text)
    return np.append(tokens, self.vocabulary.end_token).astype(tokens.dtype)

  def sentences(self, split: str) -> tuple[list[str], list[str]]:
    source, target = (list(read_lines(self._files.paths(split, s))) for s in SIDES)
    return source, target

  def prompt(self) -> str:
    """Return the first source of the validation split."""
    if (kept := unpacked(self.kept, PROMPT)) is not None:
      return kept
    line = next(read_lines(self._files.paths("validation", "source")))
    return self.vocabulary.decode(self.vocabulary.encode(line))

  def described(self, batch_size: int) -> str:
    pairs = self._splits["train"]
    omitted = pairs.total - len(pairs.numbers)
    return f"{super().described(batch_size)}; {omitted:,} of {pairs.total:,} omitted"


class _Splits(dict[str, Split]):
  """The splits of a dataset, each read when it is first used."""

  def __init__(self, dataset: ParallelText):
    self._dataset = dataset

  def __missing__(self, split: str) -> Split:
    self[split] = read = _read(self._dataset, self._dataset._files, split)
    return read


def _read(dataset: ParallelText, files: ParallelFiles, split: str) -> Split:
  """Read the pairs of a split, and select those that are used."""
  files.count_lines(split)
  source, target = (_lines(dataset.vocabulary, files, split, side) for side in SIDES)
  needed = np.maximum(source.lengths, target.lengths) + 1
  numbers = np.arange(len(needed))
  if split == "train":
    blank = np.minimum(source.lengths, target.lengths) == 0
    numbers = np.flatnonzero((needed <= dataset.sequence_length) & ~blank)
    if not len(numbers):
      raise UserError(
        f"Of {len(needed)} training pairs none has text on both sides that fits into "
        f"sequence_length={dataset.sequence_length}; the longest needs {needed.max()}."
      )
  lengths = np.minimum(needed[numbers], dataset.sequence_length)
  return Split(source, target, numbers, lengths, len(needed))


def _lines(
  vocabulary: SubwordVocabulary, files: ParallelFiles, split: str, side: str
) -> Lines:
  """Return the tokens of one side of a split; encode them on first use."""
  model = hashlib.sha256(vocabulary.model).hexdigest()
  digests = files.digests(split)[SIDES.index(side)]
  paths = files.paths(split, side)
  return token_file(
    files.cache_folder("tokens", model, *digests),
    lambda: read_lines(paths),
    vocabulary.encode_lines,
    vocabulary.size,
    ", ".join(path.name for path in paths),
  )


def _learn(files: ParallelFiles, size: int, path: Path) -> None:
  """Learn the subwords of the training split; write them, and their sha256 to `path`."""
  paths = [files.paths("train", side) for side in SIDES]
  total = 2 * files.count_lines("train")
  every = -(-total // LEARN_FROM)
  if total > MANY:
    print(
      f"Learning {size:,} subwords from {total // every:,} lines …", file=sys.stderr
    )
  lines = itertools.chain.from_iterable(read_lines(side, every) for side in paths)
  model = learn_subwords(lines, size, bos_id=1, eos_id=2)
  write_file(path.with_name(VOCABULARY), model)
  write_digests(path.parent, [VOCABULARY])
