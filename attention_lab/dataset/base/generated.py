"""Generated data: examples made from their number, with answers that are determined."""

import abc
import dataclasses
import hashlib

import numpy as np

from attention_lab.dataset.base.dataset import Batch, Dataset, datasets
from attention_lab.dataset.base.draws import Draws
from attention_lab.errors import UserError

STREAMS = {"train": 2, "validation": 3}  # Training's and validation's random numbers.


@dataclasses.dataclass(kw_only=True)
class Generated(Dataset):
  """Examples generated from their number; validation shares none of training's numbers.

  What counts is determined by what stands before it, so a perfect model's loss is 0. A
  subclass writes `vocabulary` and `generate`, and checks its options in `check`.
  """

  train_examples: int = 65_536  # Different examples to train on.
  validation_examples: int = 512  # Examples to validate on.

  def __post_init__(self) -> None:
    for option in ("train_examples", "validation_examples"):
      self.require(option, getattr(self, option) >= 1, "1 or more")
    self.require("seed", self.seed >= 0, "0 or more")
    self.check()

  @abc.abstractmethod
  def check(self) -> None:
    """Raises UserError, by `require`, at an option that makes no sense."""

  @abc.abstractmethod
  def generate(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Examples from random numbers: tokens [B, T + 1], and which of them count [B, T + 1].

    Each row may use nothing but its own random numbers. The first token cannot count:
    nothing predicts it.
    """

  def require(self, option: str, met: bool, allowed: str) -> None:
    """Raises UserError unless a condition on an option is met."""
    if not met:
      name = next((n for n in datasets if datasets[n] is type(self)), "dataset")
      raise UserError(f"{name}({option}={getattr(self, option)!r}): take {allowed}.")

  @property
  def best_loss(self) -> float:
    return 0.0

  @property
  def fingerprint(self) -> str:
    options = dataclasses.asdict(self)
    for given in datasets.given:  # A form is not other data.
      del options[given]
    recipe = (type(self).__name__, 2, sorted(options.items()))
    return hashlib.sha256(repr(recipe).encode()).hexdigest()

  def size(self, split: str) -> int:
    return self.train_examples if split == "train" else self.validation_examples

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    del epoch
    tokens, counts = self.generate(self.draws(split, indices))
    tokens = tokens.astype(np.int32)
    return Batch(tokens[:, :-1], tokens[:, 1:], counts[:, 1:].astype(np.float32))

  def draws(self, split: str, indices: np.ndarray) -> Draws:
    """The random numbers of some examples of a split."""
    return Draws(self.seed, STREAMS[split], indices)

  def last(self, rows: int) -> np.ndarray:
    """That nothing but the last token counts: [B, T + 1]."""
    return np.tile(
      np.arange(self.sequence_length + 1) == self.sequence_length, (rows, 1)
    )
