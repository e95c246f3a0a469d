"""Contract of a dataset of pairs, in addition to `Dataset`: sources and answers."""

import abc
from typing import TYPE_CHECKING

import numpy as np

from attention_lab.dataset.base.dataset import Dataset
from attention_lab.errors import UserError

if TYPE_CHECKING:
  _Base = Dataset
else:
  _Base = abc.ABC


class PairDataset(_Base):
  """Contract of a dataset with the task "pairs", in addition to `Dataset`.

  Its batches have a `source`; inputs begin with the start token.
  """

  @property
  @abc.abstractmethod
  def start_token(self) -> int:
    """The token that the inputs begin with."""

  @property
  def end_token(self) -> int | None:
    """The token that answers end with; None if all have `answer_length` tokens."""
    return getattr(self.vocabulary, "end_token", None)

  @property
  def answer_length(self) -> int:
    """Largest number of tokens of an answer."""
    return self.sequence_length

  def source_tokens(self, text: str) -> np.ndarray:
    """Return a text as the source of a pair: [S] int32."""
    return self.vocabulary.encode(text)

  def sentences(self, split: str) -> tuple[list[str], list[str]] | None:
    """Return sources and answers as texts; None if translation scores do not apply."""
    del split
    return None


def as_pairs(dataset: Dataset) -> PairDataset:
  """Return a dataset with the task "pairs" as a `PairDataset`.

  Raises:
    UserError: its class offers the task "pairs" without being a `PairDataset`.
  """
  if not isinstance(dataset, PairDataset):
    raise UserError(
      f"{type(dataset).__name__} offers pairs, so it must be a subclass of "
      f"attention_lab.PairDataset too."
    )
  return dataset


def sentences_of(dataset: Dataset, split: str) -> tuple[list[str], list[str]] | None:
  """Return the sentence pairs of a split; None if the dataset has none."""
  return dataset.sentences(split) if isinstance(dataset, PairDataset) else None
