"""Datasets that are made of the examples of another dataset."""

import abc
import dataclasses
import hashlib
from collections.abc import Mapping
from typing import cast

from attention_lab.dataset.base.dataset import Dataset, datasets, with_order
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.vocabulary import Vocabulary


@dataclasses.dataclass(kw_only=True)
class Wrapped(Dataset):
  """Dataset that is made of the examples of another one, its source.

  `__post_init__` of a subclass gives the source to `wrap`. A subclass writes `recipe`,
  `size` and `examples`.
  """

  sequence_length: int = 0  # Tokens per example; 0 for those of the source.

  def wrap(self, source: Dataset) -> None:
    """Set the source; it gets this dataset's length if that is not 0."""
    self._source = of_length(source, self.sequence_length)
    self.sequence_length = self._source.sequence_length

  @property
  def source(self) -> Dataset:
    """The source, with the order of this dataset."""
    if self._source.order is not self.order:  # After `with_order`.
      self._source = with_order(self._source, self.order)
    return self._source

  @property
  @abc.abstractmethod
  def recipe(self) -> str:
    """Description of the change: equal texts, equal changes. For the fingerprint."""

  @property
  def vocabulary(self) -> Vocabulary:
    return self.source.vocabulary

  @property
  def fingerprint(self) -> str:
    recipe = f"{self.source.fingerprint}, {self.recipe}"
    return hashlib.sha256(recipe.encode()).hexdigest()

  def files(self) -> Mapping[str, bytes]:
    return self.source.files()

  def described(self, batch_size: int) -> str:
    return self.source.described(batch_size)

  def prompt(self) -> str:
    return self.source.prompt()


def of_length(source: Dataset, length: int) -> Dataset:
  """Return a dataset with `length` tokens per example; unchanged if that is 0."""
  if length in (0, source.sequence_length):
    return source
  return dataclasses.replace(source, sequence_length=length)


def source_of(spec: str, wrapper: Dataset, task: str) -> Dataset:
  """Return the dataset that an option of another dataset names.

  Args:
    spec: the dataset with its options.
    wrapper: the other dataset, whose data_dir, files and order it gets.
    task: the form of the examples.

  Raises:
    UserError: the dataset is unknown, or its examples do not have this form.
  """
  bound = datasets.bind(spec)
  name = next((name for name in datasets if datasets[name] is type(wrapper)), "")
  offered = cast(type[Dataset], bound.func).tasks
  if task not in offered:
    usable = [
      each for each in datasets if task in cast(type[Dataset], datasets[each]).tasks
    ]
    raise UserError(
      f"{name}(of={spec!r}): its targets are {' or '.join(offered)}, not {task}. Use one "
      f"of: {', '.join(usable)}."
    )
  made: Dataset = bound(
    data_dir=wrapper.data_dir, task=task, kept=wrapper.kept, order=wrapper.order
  )
  return made
