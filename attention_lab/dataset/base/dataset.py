"""Contract of a dataset: batches as a pure function of the step, in numpy."""

import abc
import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from attention_lab.dataset.base.order import Order
from attention_lab.plugin.contract import Contract, Names
from attention_lab.plugin.registry import Registry
from attention_lab.tokenizer.base.vocabulary import Vocabulary

SPLITS = ("train", "validation")
# The forms of examples. "next_token": targets may be among the inputs, only for causal
# models. "labels": targets are not among the inputs. "masked": tokens hidden in the inputs,
# only for models that see both sides. "pairs": next tokens given a source, which is an
# array of its own. "reconstruction": targets are the inputs at the same positions, only for
# models that predict all of them from one vector.
TASKS = ("next_token", "labels", "masked", "pairs", "reconstruction")


class Batch(NamedTuple):
  """Token sequences, and the targets at each of their positions."""

  inputs: np.ndarray  # [B, T] int32
  targets: np.ndarray  # [B, T] int32
  weights: np.ndarray  # [B, T] float32; 0 at positions that do not count
  source: np.ndarray | None = None  # [B, S] int32, negative for padding; for "pairs".


def each_array(function: Callable[..., np.ndarray], *batches: Batch) -> Batch:
  """Apply a function to the arrays of the same name of all batches."""
  inputs, targets, weights, sources = zip(*batches, strict=True)
  source = None if sources[0] is None else function(*sources)
  return Batch(function(*inputs), function(*targets), function(*weights), source)


@dataclasses.dataclass(kw_only=True)
class Dataset(abc.ABC):
  """Dataset whose examples are numbered.

  A subclass writes `vocabulary`, `fingerprint`, `size` and `examples`; one that offers
  pairs is a `pairs.PairDataset` too. The experiment supplies `data_dir`, `task`, `kept`,
  `order` and `prefix_length`; the other fields, and those that a subclass adds, are
  options. No state is kept between calls, so that an exact resume needs none and every
  process can make its own shard.
  """

  data_dir: str  # Folder to read and store files in; "" for the user's cache.
  task: str = ""  # One of `tasks`; "" for the first.
  # The `files` of the run that is resumed.
  kept: Mapping[str, bytes] = dataclasses.field(default_factory=dict, repr=False)
  order: Order = dataclasses.field(default_factory=Order)  # Of the training examples.
  # First tokens of an example that are given, and never a target.
  prefix_length: int = 0

  # The forms that its examples can take, of TASKS.
  tasks: ClassVar[tuple[str, ...]] = ("next_token",)

  # The metric that comparisons judge by: "loss", or "accuracy" where answers count.
  primary: ClassVar[str] = "loss"

  # Whether the tokens that count in an example are one answer: right, or wrong.
  whole_answers: ClassVar[bool] = False

  sequence_length: int = 128  # Tokens per example (T).
  seed: int = 0  # Seed of the order of the examples, beside the run's.

  @property
  @abc.abstractmethod
  def vocabulary(self) -> Vocabulary:
    """The vocabulary."""

  @property
  @abc.abstractmethod
  def fingerprint(self) -> str:
    """The sha256, in hex, of the data or of what it is generated from."""

  @abc.abstractmethod
  def size(self, split: str) -> int:
    """Return the number of examples in one pass over a split."""

  @abc.abstractmethod
  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    """Return the examples with these numbers, 0 <= number < size, of one pass."""

  @property
  def splits(self) -> tuple[str, ...]:
    """The splits: those in `SPLITS`, and perhaps "test"."""
    return SPLITS

  def files(self) -> Mapping[str, bytes]:
    """Return the files that make a run usable without the data, by name.

    A run keeps them in its folder, and gives them to the dataset as `kept`.
    """
    return {}

  def described(self, batch_size: int) -> str:
    """Return a line about the examples to print before training; "" for none."""
    del batch_size
    return ""

  @property
  def best_loss(self) -> float | None:
    """The lowest possible loss, in nats per position that counts; None if unknown."""
    return None

  @property
  def token_bytes(self) -> np.ndarray | None:
    """Bytes of the original text that each token stands for: int32 [V], 0 for separators.

    None if the data are no text, or bytes cannot be assigned to tokens.
    """
    return None

  def prompt(self) -> str:
    """Return the default prompt of a sample.

    It is the first validation example up to its first position that counts, with the whole
    prefix, or its source.
    """
    example = self.examples("validation", 0, np.zeros(1, np.int64))
    if example.source is not None:
      return self.vocabulary.decode(example.source[0])
    known = int(np.argmax(example.weights[0] > 0)) + 1
    known = max(known, self.prefix_length)
    return self.vocabulary.decode(example.inputs[0, :known])

  def batch(
    self, split: str, step: int, batch_size: int, shard: tuple[int, int] = (0, 1)
  ) -> Batch:
    """Return the batch of a step: a pure function of its arguments.

    Training passes over the split repeatedly, in another order each time; every example
    occurs once per pass. The validation split is passed over once, in order; rows after
    its end have weight 0.

    Args:
      split: one of `splits`.
      step: the number of the batch, from 0.
      batch_size: examples in the whole batch, over all shards.
      shard: (index, count), the contiguous part of the rows to return.
    """
    one = self.batches(split, step, 1, batch_size, shard)
    return each_array(lambda array: array[0], one)

  def batches(
    self,
    split: str,
    step: int,
    count: int,
    batch_size: int,
    shard: tuple[int, int] = (0, 1),
  ) -> Batch:
    """Return the batches of `count` steps from `step` on, stacked: [count, B, T].

    If batches have several shapes, those of one call must have the same.
    """
    places = rows_of(step + np.arange(count), batch_size, shard)
    numbers = places.ravel()
    if split == "train":
      batch = in_passes(self, numbers)
    else:
      size = self.size(split)
      batch = self.examples(split, 0, np.minimum(numbers, size - 1))
      inside = (numbers < size)[:, None].astype(np.float32)
      batch = batch._replace(weights=batch.weights * inside)
    batch = each_array(lambda array: array.reshape(*places.shape, -1), batch)
    return behind_prefix(batch, self.prefix_length)

  @property
  def num_shapes(self) -> int:
    """Largest number of shapes that batches of one size have, over all splits."""
    return 1

  def shapes(self, split: str, batch_size: int) -> dict[int, int]:
    """Return a step of each batch shape in a pass: step → number of its batches."""
    return {0: -(-self.size(split) // batch_size)}

  def tokens_per_step(self, batch_size: int) -> float:
    """Return the mean number of tokens per training step, without padding."""
    return batch_size * self.sequence_length


def behind_prefix(batch: Batch, prefix_length: int) -> Batch:
  """Return a batch in which no target counts that belongs to the prefix.

  The target at position t is token t + 1: that at the prefix's last position counts.
  What overrides `batches`, and not `examples` alone, has to apply this to its result.
  """
  if prefix_length < 2:
    return batch
  counts = np.arange(batch.weights.shape[-1]) + 1 >= prefix_length
  return batch._replace(weights=batch.weights * counts.astype(np.float32))


def rows_of(batches: np.ndarray, batch_size: int, shard: tuple[int, int]) -> np.ndarray:
  """Return the numbers, from 0, of the examples of a shard in some batches: [count, B].

  Args:
    batches: numbers of the batches: [count].
    batch_size: examples in a whole batch, over all shards.
    shard: (index, count), the contiguous part of the rows.
  """
  index, shards = shard
  rows = batch_size // shards
  return batches[:, None] * batch_size + index * rows + np.arange(rows)


def common_fields(dataset: Dataset) -> dict[str, Any]:
  """Return the fields that all datasets have, to make another dataset of this one."""
  return {
    field.name: getattr(dataset, field.name) for field in dataclasses.fields(Dataset)
  }


def with_order(dataset: Dataset, order: Order) -> Dataset:
  """Return a dataset with another order of the training examples."""
  other = copy.copy(dataset)  # With all that was computed once, such as the text.
  other.order = order
  return other


def num_batches(dataset: Dataset, split: str, batch_size: int) -> int:
  """Return the number of batches in one pass over a split."""
  return sum(dataset.shapes(split, batch_size).values())


def in_passes(dataset: Dataset, numbers: np.ndarray) -> Batch:
  """Return training examples by their number in the endless sequence of passes.

  Args:
    dataset: the dataset.
    numbers: the numbers, ascending: [B].
  """
  size = dataset.size("train")
  epochs, within = np.divmod(numbers, size)
  passes = []
  for epoch in map(int, np.unique(epochs)):  # A batch may span passes.
    indices = dataset.order.permutation(dataset.seed, epoch, size)[
      within[epochs == epoch]
    ]
    passes.append(dataset.examples("train", epoch, indices))
  if len(passes) == 1:
    return passes[0]
  return each_array(lambda *arrays: np.concatenate(arrays), *passes)


CONTRACT = Contract(Dataset, {"tasks": Names(TASKS)})
datasets = Registry(
  "dataset",
  CONTRACT,
  ("data_dir", "task", "kept", "order", "prefix_length"),
  "dataset",
)
register_dataset = datasets.register
