"""What a dataset is: batches as a pure function of the step, in numpy."""

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple

import numpy as np

from attention_lab.dataset.base.vocabulary import Vocabulary
from attention_lab.plugin.registry import Registry

SPLITS = ("train", "validation")


class Batch(NamedTuple):
  """Token sequences and what is to be predicted at each of their positions."""

  inputs: np.ndarray  # [B, T] int32
  targets: np.ndarray  # [B, T] int32
  weights: np.ndarray  # [B, T] float32; 0 where a position does not count
  source: np.ndarray | None = None  # [B, S] int32, negative = padding; for "pairs".


def each_array(function: Callable[..., np.ndarray], *batches: Batch) -> Batch:
  """The batch of what `function` makes of the batches' arrays of one name."""
  inputs, targets, weights, sources = zip(*batches, strict=True)
  source = None if sources[0] is None else function(*sources)
  return Batch(function(*inputs), function(*targets), function(*weights), source)


@dataclasses.dataclass(kw_only=True)
class Dataset(abc.ABC):
  """Examples by number. `data_dir`, `task` and `kept` are given by the experiment; the
  other fields, and those that a subclass adds, are options.

  A subclass writes `vocabulary`, `fingerprint`, `size` and `examples`. Nothing is kept
  between calls, so an exact resume needs no iterator state and any process can make its
  own shard.
  """

  data_dir: str  # Where files are looked for and kept; "" for the user's cache.
  task: str = ""  # Which of `tasks` the examples are; "" for the first.
  # What `files` was when the run began that is gone on with.
  kept: Mapping[str, bytes] = dataclasses.field(default_factory=dict, repr=False)

  # The forms that its examples can take, by what the targets that count are:
  # "next_token", of which some stand among the inputs, for who sees no token's successors
  # alone; "labels", which do not stand there; "pairs", next tokens given a source, which
  # is an array of its own.
  tasks: ClassVar[tuple[str, ...]] = ("next_token",)

  sequence_length: int = 128  # Tokens in an example (T).
  seed: int = 0  # Of the order of the examples.

  @property
  @abc.abstractmethod
  def vocabulary(self) -> Vocabulary:
    """The tokens."""

  @property
  @abc.abstractmethod
  def fingerprint(self) -> str:
    """The sha256, in hex, of the data or of what it is generated from."""

  @abc.abstractmethod
  def size(self, split: str) -> int:
    """How many examples one pass over a split has."""

  @abc.abstractmethod
  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    """The examples with these numbers, 0 <= number < size, in one pass over a split."""

  @property
  def splits(self) -> tuple[str, ...]:
    """The splits that there are: SPLITS, and perhaps "test"."""
    return SPLITS

  def files(self) -> Mapping[str, bytes]:
    """What a run keeps in its folder to be used without the data, by file name; a
    dataset that is given it as `kept` takes it from there."""
    return {}

  def described(self, batch_size: int) -> str:
    """What a person should know of the examples before training; "" for nothing."""
    del batch_size
    return ""

  @property
  def best_loss(self) -> float | None:
    """The least loss that is possible, in nats a position that counts; None: unknown."""
    return None

  @property
  def characters_per_token(self) -> float | None:
    """Characters of the validation split that a target stands for, on average; None
    where the loss says nothing about a text."""
    return None

  @property
  def start_token(self) -> int:
    """What the inputs of pairs begin with."""
    raise TypeError(f"{type(self).__name__} offers no pairs.")

  @property
  def end_token(self) -> int | None:
    """What the answers of pairs end with; None where all are of `answer_length`."""
    return None

  @property
  def answer_length(self) -> int:
    """Tokens that the answer of a pair has at most."""
    return self.sequence_length

  def source_tokens(self, text: str) -> np.ndarray:
    """A text as the source of a pair: [S] int32."""
    return self.vocabulary.encode(text)

  def sentences(self, split: str) -> tuple[list[str], list[str]] | None:
    """The sources and answers of a split as texts; None where figures say it all."""
    del split
    return None

  def prompt(self) -> str:
    """What a sample continues if nothing else is asked for: the first validation
    example up to the first position that counts, or the source of a pair."""
    example = self.examples("validation", 0, np.zeros(1, np.int64))
    if example.source is not None:
      return self.vocabulary.decode(example.source[0])
    known = int(np.argmax(example.weights[0] > 0)) + 1
    return self.vocabulary.decode(example.inputs[0, :known])

  def batch(
    self, split: str, step: int, batch_size: int, shard: tuple[int, int] = (0, 1)
  ) -> Batch:
    """The batch of a step: a pure function of its arguments.

    Training passes over the split again and again, each time in another order, every
    example once a pass. The validation split is passed over once, in order; after its
    end rows have weight 0.

    Args:
      split: one of `splits`.
      step: the batch's number, from 0.
      batch_size: examples in the whole batch, over all shards.
      shard: (index, count): which contiguous part of the rows to make.
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
    """The batches of `count` steps from `step` on, as one: arrays [count, B, T].

    Where batches have several shapes, those of one call have to have the same.
    """
    index, shards = shard
    rows = batch_size // shards
    steps = step + np.arange(count)[:, None]
    numbers = (steps * batch_size + index * rows + np.arange(rows)).ravel()
    size = self.size(split)
    if split == "train":
      batch = self._shuffled(numbers, size)
    else:
      batch = self.examples(split, 0, np.minimum(numbers, size - 1))
      inside = (numbers < size)[:, None].astype(np.float32)
      batch = batch._replace(weights=batch.weights * inside)
    return each_array(lambda array: array.reshape(count, rows, -1), batch)

  def _shuffled(self, numbers: np.ndarray, size: int) -> Batch:
    """Training examples by their number in the endless sequence of passes."""
    epochs, within = np.divmod(numbers, size)
    parts = []
    for epoch in range(epochs[0], epochs[-1] + 1):  # A batch may span passes.
      wanted = _order(self.seed, epoch, size)[within[epochs == epoch]]
      parts.append(self.examples("train", epoch, wanted))
    if len(parts) == 1:
      return parts[0]
    return each_array(lambda *arrays: np.concatenate(arrays), *parts)

  def num_batches(self, split: str, batch_size: int) -> int:
    """How many batches one pass over a split takes."""
    return -(-self.size(split) // batch_size)

  @property
  def num_shapes(self) -> int:
    """How many shapes batches of one size have at most, over all splits."""
    return 1

  def shapes(self, split: str, batch_size: int) -> dict[int, int]:
    """A step of each shape that a pass over a split has: step → how many have it."""
    return {0: self.num_batches(split, batch_size)}

  def tokens_per_step(self, batch_size: int) -> float:
    """Tokens that a training step takes in; where batches are padded, how many of them
    count on average."""
    return batch_size * self.sequence_length


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, size: int) -> np.ndarray:
  """The order of one training pass."""
  return np.random.default_rng((seed, epoch)).permutation(size)


datasets = Registry("dataset", base=Dataset, given=("data_dir", "task", "kept"))
register_dataset = datasets.register
