"""Datasets that are made of the examples of other datasets."""

import abc
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

from attention_lab.dataset.base.dataset import Dataset, datasets, with_order
from attention_lab.dataset.base.order import Order
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.vocabulary import Vocabulary


@dataclasses.dataclass(kw_only=True)
class Wrapped(Dataset):
  """Dataset that is made of the examples of others, its sources.

  `__post_init__` of a subclass gives the sources to `wrap`. A subclass has them in a field
  `of`, as specs or datasets, and writes `recipe`, `size` and `examples`.
  """

  sequence_length: int = 0  # Tokens per example; 0 for those of the source.

  @classmethod
  def offered(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the forms of examples that a dataset with these options offers."""
    del options
    return cls.tasks

  def wrap(self, *sources: Dataset) -> None:
    """Set the sources; they get this dataset's length if that is not 0."""
    self._sources = tuple(of_length(each, self.sequence_length) for each in sources)
    self.sequence_length = self._sources[0].sequence_length
    self._ordered: Order | None = None

  @property
  def sources(self) -> tuple[Dataset, ...]:
    """The sources, in the order of this dataset."""
    if self._ordered is not self.order:  # At first, and after `with_order`.
      # Each has an order of its own: an `Order` keeps only a few permutations.
      run_seed = self.order.run_seed
      self._sources = tuple(with_order(x, Order(run_seed)) for x in self._sources)
      for copy in self._sources:
        copy.prefix_length = self.prefix_length
      self._ordered = self.order
    return self._sources

  @property
  def source(self) -> Dataset:
    """The first source, in the order of this dataset."""
    return self.sources[0]

  def over(self, sources: Sequence[Dataset]) -> Dataset:
    """Return the same dataset over other sources."""
    options: dict[str, Any] = {"of": sources[0]}
    return dataclasses.replace(self, **options)

  @property
  @abc.abstractmethod
  def recipe(self) -> str:
    """Description of the change: equal texts, equal changes. For the fingerprint."""

  @property
  def vocabulary(self) -> Vocabulary:
    return self.source.vocabulary

  @property
  def splits(self) -> tuple[str, ...]:
    others = self.sources[1:]
    return tuple(x for x in self.source.splits if all(x in y.splits for y in others))

  @property
  def fingerprint(self) -> str:
    data = ", ".join(each.fingerprint for each in self.sources)
    return hashlib.sha256(f"{data}, {self.recipe}".encode()).hexdigest()

  def files(self) -> Mapping[str, bytes]:
    return self.source.files()

  def described(self, batch_size: int) -> str:
    return "; ".join(filter(None, (x.described(batch_size) for x in self.sources)))

  def prompt(self) -> str:
    return self.source.prompt()


def of_length(source: Dataset, length: int) -> Dataset:
  """Return a dataset with `length` tokens per example; unchanged if that is 0."""
  if length in (0, source.sequence_length):
    return source
  return dataclasses.replace(source, sequence_length=length)


def source_of(spec: str | Dataset, wrapper: Dataset, task: str) -> Dataset:
  """Return the dataset that an option of another dataset names.

  Args:
    spec: the dataset with its options; a dataset is returned unchanged.
    wrapper: the other dataset, whose data_dir, files and order it gets.
    task: the form of the examples.

  Raises:
    UserError: the dataset is unknown, or its examples do not have this form.
  """
  if isinstance(spec, Dataset):
    return spec
  name = next((name for name in datasets if datasets[name] is type(wrapper)), "")
  offered = offered_tasks(spec)
  if task not in offered:
    usable = [each for each in datasets if task in tasks_of(each)]
    raise UserError(
      f"{name}(of={spec!r}): its targets are {' or '.join(offered)}, not {task}. Use one "
      f"of: {', '.join(usable)}."
    )
  bound = datasets.bind(spec)
  if cast(type[Dataset], bound.func).batches is not Dataset.batches:
    raise UserError(
      f"{name}(of={spec!r}): its batches are no sequence of single examples. Take "
      f"another dataset; a mixture is made of others, as in mixture(of=('masked', …))."
    )
  made: Dataset = bound(
    data_dir=wrapper.data_dir, task=task, kept=wrapper.kept, order=wrapper.order
  )
  return made


def tasks_of(name: str) -> tuple[str, ...]:
  """Return the forms of examples that a registered dataset offers with some options."""
  return cast(type[Dataset], datasets[name]).tasks


def offered_tasks(spec: str) -> tuple[str, ...]:
  """Return the forms of examples that a dataset offers, given its options.

  Raises:
    UserError: the dataset or an option is unknown.
  """
  bound = datasets.bind(spec)
  kind = cast(type[Dataset], bound.func)
  return kind.offered(bound.keywords) if issubclass(kind, Wrapped) else kind.tasks
