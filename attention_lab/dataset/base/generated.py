"""Generated data: examples made from their number, with answers that are determined."""

import abc
import dataclasses
import hashlib
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, Dataset, datasets
from attention_lab.errors import UserError

STREAMS = {"train": 2, "validation": 3}  # Streams of random numbers, by split.


@dataclasses.dataclass(kw_only=True)
class Numbered(Dataset):
  """Examples that are made from their number; each split has its own random numbers.

  A target that counts is determined by the tokens before it, so a perfect model's loss is
  0. A subclass writes `vocabulary` and `examples`, and checks its options in `check`.
  """

  primary: ClassVar[str] = "accuracy"

  # Options that later versions added: at their defaults the data are those of before.
  added: ClassVar[tuple[str, ...]] = ()

  train_examples: int = 65_536  # Different examples to train on.
  validation_examples: int = 512  # Examples to validate on.

  def __post_init__(self) -> None:
    for option in ("train_examples", "validation_examples"):
      self.require(option, getattr(self, option) >= 1, "1 or more")
    self.require("seed", self.seed >= 0, "0 or more")
    self.check()

  @abc.abstractmethod
  def check(self) -> None:
    """Raise `UserError`, by `require`, for an invalid option."""

  def require(self, option: str, met: bool, allowed: str) -> None:
    """Raise `UserError` unless a condition on an option is met."""
    if not met:
      name = next((n for n in datasets if datasets[n] is type(self)), "dataset")
      raise UserError(f"{name}({option}={getattr(self, option)!r}): take {allowed}.")

  @property
  def best_loss(self) -> float:
    return 0.0

  @property
  def fingerprint(self) -> str:
    options = dataclasses.asdict(self)
    unset = [name for name in self.added if options[name] == getattr(type(self), name)]
    for same in (*datasets.given, *unset):  # These options do not change the data.
      del options[same]
    recipe = (type(self).__name__, 2, sorted(options.items()))
    return hashlib.sha256(repr(recipe).encode()).hexdigest()

  def reference_attention(self, batch: Batch) -> np.ndarray | None:
    """Return which inputs each answer of a batch depends on: bool [B, T, S], S = T.

    The answer at position t depends on the inputs at the positions s; what stands at
    positions that do not count has no meaning. None if the task does not determine them.
    """
    del batch
    return None

  def size(self, split: str) -> int:
    return self.train_examples if split == "train" else self.validation_examples

  def random(self, split: str, indices: np.ndarray) -> CounterRandom:
    """Return the random numbers of some examples of a split."""
    return CounterRandom(self.seed, STREAMS[split], indices)


def tagged(
  inputs: np.ndarray, targets: np.ndarray, counts: np.ndarray | None = None
) -> Batch:
  """Return examples with targets that are not next tokens.

  Args:
    inputs: tokens [B, T].
    targets: a token for each of them [B, T].
    counts: which targets count [B, T]; None for all.
  """
  weights = np.ones(inputs.shape) if counts is None else counts
  return Batch(
    inputs.astype(np.int32), targets.astype(np.int32), weights.astype(np.float32)
  )


@dataclasses.dataclass(kw_only=True)
class Tagged(Numbered):
  """Examples that are made from random numbers alone, whose targets are not next tokens.

  So samples of a model differ from its data. A subclass writes `vocabulary` and `tag`, and
  checks its options in `check`.
  """

  tasks: ClassVar[tuple[str, ...]] = ("labels",)

  @abc.abstractmethod
  def tag(self, random: CounterRandom) -> Batch:
    """Return examples, by `tagged`; each row may use only its own random numbers."""

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    del epoch
    return self.tag(self.random(split, indices))


@dataclasses.dataclass(kw_only=True)
class Generated(Numbered):
  """Examples that are made from random numbers alone.

  A subclass writes `vocabulary` and `generate`, and checks its options in `check`.
  """

  @abc.abstractmethod
  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens [B, T + 1], and which of them count [B, T + 1], from random numbers.

    Each row may use only its own random numbers. The first token cannot count, since there
    is no input to predict it from.
    """

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    del epoch
    tokens, counts = self.generate(self.random(split, indices))
    tokens = tokens.astype(np.int32)
    return Batch(tokens[:, :-1], tokens[:, 1:], counts[:, 1:].astype(np.float32))

  def last(self, rows: int) -> np.ndarray:
    """Return which tokens count if only the last one does: bool [B, T + 1]."""
    return np.tile(
      np.arange(self.sequence_length + 1) == self.sequence_length, (rows, 1)
    )
