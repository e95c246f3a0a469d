"""Texts with labels, by bytes, as in Long Range Arena (Tay et al., arXiv:2011.04006)."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.dataset import SPLITS, Batch, Dataset, register_dataset
from attention_lab.dataset.base.kept import PROMPT
from attention_lab.dataset.base.labelled import LabelledVocabulary, labelled
from attention_lab.dataset.base.tables import Columns, Table, columns_of, read_table
from attention_lab.dataset.reader.paths import find_files
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.kept import packed, unpacked

KEPT = "labels.json"  # The words, if tokens are words, and the labels.
LISTOPS = (*map(str, range(10)), "[MIN", "[MAX", "[MED", "[SM", "]")


@register_dataset("text_classification")
@dataclasses.dataclass(kw_only=True)
class TextClassification(Dataset):
  """`text [CLS]` has the answer `[label]`, the only token that counts.

  Files have a line per example, with tabs between its columns: a label and a text;
  label, id1, id2, text1 and text2, as AAN's files in Long Range Arena; Source and Target,
  as its ListOps files; or columns that the first line names. Tokens are the bytes of the
  text; those of ListOps are its words, without parentheses. Two texts have `[SEP]` between
  them and are cut to one length; a longer text is cut at its end. Long Range Arena has a
  sequence_length of 4,000 for texts, 2 × 4,000 for pairs and 2,000 for ListOps. Padding
  follows `[CLS]`, and no token attends to it. A run keeps the labels.
  """

  tasks: ClassVar[tuple[str, ...]] = ("labels",)
  primary: ClassVar[str] = "accuracy"

  train: str  # Files to train on: a path, or a pattern such as 'imdb/train_*.tsv'.
  validation: str  # Files to validate on.
  test: str = ""  # Files of the split "test", which --mode=evaluate reads; "" for none.
  sequence_length: int = 1024  # Tokens per example, with "[CLS]" and padding.
  label: str = ""  # Column of labels, by its name in the first line; "" to find it.
  text: str = ""  # Column of texts, by its name in the first line; "" to find it.
  quoted: bool = (
    False  # Fields may be in quotes, as the module csv and pandas write them.
  )

  def __post_init__(self) -> None:
    for option, least in (("sequence_length", 4), ("seed", 0)):
      if (value := getattr(self, option)) < least:
        raise UserError(f"{option}={value}: take {least} or more.")

  @property
  def splits(self) -> tuple[str, ...]:
    return (*SPLITS, "test") if self.test else SPLITS

  @functools.cached_property
  def _columns(self) -> Columns:
    (path, *_) = find_files(self.train, self.data_dir)
    return columns_of(path, self.quoted, self.label, self.text)

  @property
  def _words(self) -> tuple[str, ...]:
    """The words that are tokens; () for bytes."""
    return LISTOPS if {*self._columns.names} == {"Source", "Target"} else ()

  @functools.cached_property
  def _tables(self) -> dict[str, Table]:
    """The examples of each split."""
    columns, found = self._columns, {}
    words = {word: token for token, word in enumerate(self._words)}
    most = self.sequence_length // len(columns.texts) - 1
    for split in self.splits:
      paths = find_files(getattr(self, split), self.data_dir)
      found[split] = read_table(paths, columns, self.quoted, most, words)
    if len({table.sha256 for table in found.values()}) < len(found):
      raise UserError("Two splits have the same content; each needs files of its own.")
    return found

  @functools.cached_property
  def vocabulary(self) -> LabelledVocabulary:
    kept = unpacked(self.kept, KEPT)
    if kept is not None:
      return LabelledVocabulary(**json.loads(kept, object_hook=_with_tuples))
    labels = sorted(self._tables["train"].origins, key=_by_number)
    if len(labels) < 2:
      raise UserError(f"Every example of {self.train} has the label {labels[0]!r}.")
    return LabelledVocabulary(self._words, tuple(labels))

  @functools.cached_property
  def _labels(self) -> dict[str, np.ndarray]:
    """The token of each example's label, by split."""
    vocabulary, found = self.vocabulary, {}
    numbers = {label: vocabulary.first + i for i, label in enumerate(vocabulary.labels)}
    for split, table in self._tables.items():
      if unknown := next((x for x in table.origins if x not in numbers), None):
        raise UserError(
          f"{table.origins[unknown]}: the label {unknown[:20]!r} is not among those that "
          f"are trained on, {', '.join(vocabulary.labels[:20])}."
        )
      found[split] = np.array([numbers[label] for label in table.labels])
    return found

  @functools.cached_property
  def fingerprint(self) -> str:
    digests = [self._tables[split].sha256 for split in SPLITS]
    recipe = digests, self._columns
    return hashlib.sha256(repr(recipe).encode()).hexdigest()

  def size(self, split: str) -> int:
    return len(self._labels[split])

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    del epoch
    labels, vocabulary = self._labels[split][indices], self.vocabulary
    table, rows = self._tables[split], []
    for number in indices:
      pieces = [np.append(text, vocabulary.between) for text in table.texts(number)]
      row = np.concatenate(pieces)
      row[-1] = vocabulary.asks
      rows.append(row)
    return labelled(rows, labels, self.sequence_length, vocabulary.padding)

  def tokens_per_step(self, batch_size: int) -> float:
    return batch_size * self._mean_length

  @functools.cached_property
  def _mean_length(self) -> float:
    """Mean number of tokens of a training example, without padding."""
    table = self._tables["train"]
    return len(table.tokens) / len(table.labels) + len(self._columns.texts)

  def described(self, batch_size: int) -> str:
    del batch_size
    sizes = ", ".join(f"{self.size(split):,} in {split}" for split in self.splits)
    padding = 1 - self._mean_length / self.sequence_length
    names = [self._columns.names[i] for i in self._columns.texts if self._columns.names]
    unit = "words" if self._words else "bytes"
    what = f"{unit} of {' and '.join(names) or 'the text'}"
    return (
      f"Examples: {sizes}; {what}, {len(self.vocabulary.labels)} labels, "
      f"{padding:.0%} padding"
    )

  def files(self) -> Mapping[str, bytes]:
    kept = json.dumps(dataclasses.asdict(self.vocabulary))
    return {KEPT: packed(kept), PROMPT: packed(self.prompt())}

  def prompt(self) -> str:
    kept = unpacked(self.kept, PROMPT)
    return super().prompt() if kept is None else kept


def _by_number(label: str) -> tuple[float, str]:
  """Return the key by which labels are sorted: numbers by value, then the others."""
  try:
    return float(label), label
  except ValueError:
    return float("inf"), label


def _with_tuples(found: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
  return {key: tuple(value) for key, value in found.items()}
