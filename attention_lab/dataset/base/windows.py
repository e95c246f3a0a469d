"""Sequences of tokens as examples: windows, in each the next token to predict."""

import abc
import dataclasses
from typing import Protocol

import numpy as np

from attention_lab.dataset.base.dataset import Batch, Dataset
from attention_lab.errors import UserError


class Sequence(Protocol):
  """Tokens that are read by their place, such as an int32 array."""

  def __len__(self) -> int:
    """Return the number of tokens."""

  def take(self, at: np.ndarray, /) -> np.ndarray:
    """Return the tokens at these places, int32 of the shape of `at`."""


@dataclasses.dataclass(kw_only=True)
class Windows(Dataset):
  """Windows that share no target.

  One pass over the training split cuts it into windows that do not overlap, from an offset
  that differs from pass to pass. Validation windows cover every token after the first
  exactly once. A subclass writes `sequence` instead of `size` and `examples`.
  """

  def __post_init__(self) -> None:
    for option, least in (("sequence_length", 1), ("seed", 0)):
      if (value := getattr(self, option)) < least:
        raise UserError(f"{option}={value}: take {least} or more.")

  @abc.abstractmethod
  def sequence(self, split: str) -> Sequence:
    """Return the tokens of a split."""

  def size(self, split: str) -> int:
    targets = len(self.sequence(split)) - 1
    if split == "train":  # The offset, up to T - 1, may cost one window.
      return max(1, (targets - self.sequence_length + 1) // self.sequence_length)
    return -(-targets // self.sequence_length)

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    tokens, length = self.sequence(split), self.sequence_length
    offset = 0
    if split == "train":
      room = min(length, len(tokens) - length)
      offset = int(self.order.random(self.seed, epoch, 1).integers(room))
    at = offset + indices[:, None] * length + np.arange(length + 1)
    inside = (at[:, 1:] < len(tokens)).astype(np.float32)
    windows = tokens.take(np.minimum(at, len(tokens) - 1))
    return Batch(windows[:, :-1], windows[:, 1:], inside)
