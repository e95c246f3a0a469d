"""Sentences and their translations: two files of a split, line by line, in subwords.

One vocabulary for both languages (Vaswani et al., arXiv:1706.03762, section 5.1: 37,000
of them), learnt from the training split. Everything is encoded once and kept on the disk.
"""

import dataclasses
import functools
import hashlib
import itertools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from attention_lab.dataset.base.bucketed import Bucketed
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.lines import facts, read_lines
from attention_lab.dataset.base.subwords import (
  SubwordVocabulary,
  learn_subwords,
  sentencepiece,
)
from attention_lab.dataset.base.token_file import Lines, token_file
from attention_lab.errors import UserError
from attention_lab.system.files import made_once, user_cache, write_atomically

USUAL = {
  "train": ("train",),
  "validation": ("valid", "validation", "val", "dev"),
  "test": ("test",),
}
SIDES = ("source", "target")
VOCABULARY = "vocabulary.model"
RECIPE = 1  # Of what is kept on the disk: another number, other files.
LEARNT_FROM = 4_000_000  # Lines of both languages together; of more, every n-th.
MANY = 200_000  # Lines to learn subwords from: it takes more than some seconds.

Names = str | tuple[str, ...]


class Pairs(NamedTuple):
  """The pairs of a split."""

  source: Lines
  target: Lines
  numbers: np.ndarray  # [size]: the lines that are taken.
  lengths: np.ndarray  # [size]: positions that each of them needs.
  total: int  # Lines that there are.


@register_dataset("parallel_text")
@dataclasses.dataclass(kw_only=True)
class ParallelText(Bucketed):
  """Pairs: the source ends with the end token, inputs begin with the start token, and
  targets end with the end token.

  Training leaves pairs out that do not fit into `sequence_length` or are blank on a side.
  Validation and test take every pair, so that figures are of the same text whatever the
  length: what does not fit is cut, the source before its end token, and counts as far as
  it goes.
  """

  tasks: ClassVar[tuple[str, ...]] = ("pairs",)

  source: str  # The files that are translated: '{split}.en'.
  target: str  # Their translations: '{split}.de'.
  train: Names = "train"  # What {split} stands for in training; several: ('a', 'b').
  validation: Names = ""  # The same in validation; "": valid, validation, val or dev.
  test: Names = ""  # The same in the test, where there is one.
  vocabulary_size: int = (
    37_000  # Subwords of both languages together, 256 bytes included.
  )

  def __post_init__(self) -> None:
    for side in SIDES:
      if "{split}" not in getattr(self, side):
        raise UserError(
          f"parallel_text({side}={getattr(self, side)!r}): write {{split}} where the "
          f"split's name stands, such as {side}='{{split}}.en'."
        )
    least = {"sequence_length": 2, "buckets": 1, "vocabulary_size": 1, "seed": 0}
    for option, allowed in least.items():
      if getattr(self, option) < allowed:
        raise UserError(
          f"parallel_text({option}={getattr(self, option)}): take {allowed} or more."
        )

  @property
  def splits(self) -> tuple[str, ...]:
    return tuple(s for s in USUAL if s != "test" or self._names("test"))

  @functools.cached_property
  def vocabulary(self) -> SubwordVocabulary:
    if VOCABULARY in self.kept:
      return SubwordVocabulary(self.kept[VOCABULARY])
    recipe = "subwords", sentencepiece().__version__, self.vocabulary_size
    path = self._folder(*recipe, *self._digests("train")) / VOCABULARY
    return SubwordVocabulary(made_once(path, self._learn, "data_dir").read_bytes())

  @property
  def start_token(self) -> int:
    """What the inputs begin with."""
    return self.vocabulary.start_token

  @property
  def end_token(self) -> int:
    """What source and targets end with."""
    return self.vocabulary.end_token

  def files(self) -> Mapping[str, bytes]:
    return {VOCABULARY: self.vocabulary.model}

  @property
  def fingerprint(self) -> str:
    digests = self._digests("train"), self._digests("validation")
    return hashlib.sha256(repr(digests).encode()).hexdigest()

  def lengths(self, split: str) -> np.ndarray:
    return self._pairs(split).lengths

  def tokens(self, split: str) -> int:
    pairs = self._pairs(split)
    needed = pairs.target.lengths[pairs.numbers] + 1
    return int(np.minimum(needed, self.sequence_length).sum())

  def padded(self, split: str, indices: np.ndarray, length: int) -> Batch:
    pairs, at = self._pairs(split), np.arange(length)
    numbers = pairs.numbers[indices]
    source, size = pairs.source.take(numbers, length)
    ended = np.where(at < np.minimum(size, length - 1), source, self.end_token)
    target, written = pairs.target.take(numbers, length)
    targets = np.where(at < written, target, self.end_token)
    start = np.full((len(numbers), 1), self.start_token)
    return Batch(
      inputs=np.concatenate([start, targets[:, :-1]], axis=1).astype(np.int32),
      targets=targets.astype(np.int32),
      weights=(at <= written).astype(np.float32),
      source=np.where(at <= size, ended, -1).astype(np.int32),
    )

  def source_tokens(self, text: str) -> np.ndarray:
    tokens = self.vocabulary.encode(text)
    return np.append(tokens, self.end_token).astype(tokens.dtype)

  def sentences(self, split: str) -> tuple[list[str], list[str]]:
    source, target = (list(read_lines(self._paths(split, side))) for side in SIDES)
    return source, target

  def prompt(self) -> str:
    """The first source of the validation split."""
    line = next(read_lines(self._paths("validation", "source")))
    return self.vocabulary.decode(self.vocabulary.encode(line))

  def described(self, batch_size: int) -> str:
    pairs = self._pairs("train")
    left_out = pairs.total - len(pairs.numbers)
    return f"{super().described(batch_size)}; {left_out:,} of {pairs.total:,} left out"

  @functools.cached_property
  def _splits(self) -> dict[str, Pairs]:
    return {}

  def _pairs(self, split: str) -> Pairs:
    if split not in self._splits:
      self._splits[split] = self._read(split)
    return self._splits[split]

  def _read(self, split: str) -> Pairs:
    self._refuse_unaligned(split)
    source, target = (self._lines(split, side) for side in SIDES)
    needed = np.maximum(source.lengths, target.lengths) + 1
    numbers = np.arange(len(needed))
    if split == "train":
      blank = np.minimum(source.lengths, target.lengths) == 0
      numbers = np.flatnonzero((needed <= self.sequence_length) & ~blank)
      if not len(numbers):
        raise UserError(
          f"Of {len(needed)} training pairs none has text on both sides that fits into "
          f"sequence_length={self.sequence_length}; the longest needs {needed.max()}."
        )
    lengths = np.minimum(needed[numbers], self.sequence_length)
    return Pairs(source, target, numbers, lengths, len(needed))

  def _lines(self, split: str, side: str) -> Lines:
    """A split's tokens on one side, encoded when they are asked for the first time."""
    model = hashlib.sha256(self.vocabulary.model).hexdigest()
    digests = self._digests(split)[SIDES.index(side)]
    paths = self._paths(split, side)
    return token_file(
      self._folder("tokens", model, *digests),
      lambda: read_lines(paths),
      self.vocabulary.encode_lines,
      self.vocabulary.size,
      ", ".join(path.name for path in paths),
    )

  def _learn(self, path: Path) -> None:
    """Learns the subwords of the training split."""
    paths = [self._paths("train", side) for side in SIDES]
    total = 2 * self._refuse_unaligned("train")
    every = -(-total // LEARNT_FROM)
    if total > MANY:
      print(
        f"Learning {self.vocabulary_size:,} subwords from {total // every:,} lines …",
        file=sys.stderr,
      )
    lines = itertools.chain.from_iterable(read_lines(side, every) for side in paths)
    model = learn_subwords(lines, self.vocabulary_size)
    write_atomically(path.parent, lambda file: file.write(model), lambda _: path.name)

  def _refuse_unaligned(self, split: str) -> int:
    """The lines of a split; raises UserError if two files have not equally many."""
    total = 0
    for paths in zip(*(self._paths(split, side) for side in SIDES), strict=True):
      source, target = (facts(path).lines for path in paths)
      if source != target:
        raise UserError(
          f"{paths[0]} has {source} lines, but {paths[1]} has {target}: each line of "
          f"one has to be the translation of that line of the other."
        )
      total += source
    return total

  def _digests(self, split: str) -> tuple[tuple[str, ...], ...]:
    """The sha256 of the files of a split, on either side."""
    self._refuse_unaligned(split)
    return tuple(
      tuple(facts(path).sha256 for path in self._paths(split, side)) for side in SIDES
    )

  def _paths(self, split: str, side: str) -> list[Path]:
    """The files of a split on one side."""
    names = self._names(split)
    if not names:
      raise UserError(
        f"{getattr(self, side)}: there is no file for {split}, with {{split}} being one "
        f"of {', '.join(USUAL[split])}. Name it: {split}='...'."
      )
    return [self._path(side, name) for name in names]

  def _path(self, side: str, name: str) -> Path:
    path = Path(getattr(self, side).replace("{split}", name)).expanduser()
    if not os.path.exists(path) and self.data_dir:
      path = Path(self.data_dir).expanduser() / path
    return path

  def _names(self, split: str) -> tuple[str, ...]:
    """What {split} stands for; nothing if that is not said and there are no files."""
    names = getattr(self, split)
    if names:
      return (names,) if isinstance(names, str) else names
    found = (n for n in USUAL[split] for s in SIDES if os.path.exists(self._path(s, n)))
    return tuple(itertools.islice(found, 1))

  def _folder(self, *recipe: object) -> Path:
    """Where is kept what is made by a recipe: in the data's folder if it allows that."""
    given = Path(self.data_dir).expanduser()
    root = given if self.data_dir and _writable(given) else user_cache() / "data"
    key = hashlib.sha256(repr((RECIPE, *recipe)).encode()).hexdigest()
    return root / "parallel_text" / key[:32]


def _writable(folder: Path) -> bool:
  """Whether a folder may be written to, and is meant to be: root may write anywhere."""
  return os.access(folder, os.W_OK) and bool(os.stat(folder).st_mode & 0o222)
