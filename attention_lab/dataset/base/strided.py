"""Overlapping windows, so that each target of an evaluation has a long context."""

import dataclasses

import numpy as np

from attention_lab.dataset.base.dataset import Batch, Dataset, common_fields
from attention_lab.dataset.base.windows import Windows
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.vocabulary import Vocabulary


def strided(dataset: Dataset, stride: int) -> "Strided":
  """Return a dataset whose windows start every `stride` tokens.

  Raises:
    UserError: its examples are not windows of a sequence, or the stride is longer.
  """
  if not isinstance(dataset, Windows):
    raise UserError(
      f"--config.evaluation.stride={stride}: the examples of this dataset are not "
      f"consecutive windows of a text or of token files; omit it."
    )
  if stride > dataset.sequence_length:
    raise UserError(
      f"--config.evaluation.stride={stride}: windows of {dataset.sequence_length} tokens "
      f"that start so far apart leave tokens out; take 1 to {dataset.sequence_length}."
    )
  return Strided(of=dataset, stride=stride, **common_fields(dataset))


@dataclasses.dataclass(kw_only=True)
class Strided(Windows):
  """The windows of another dataset, one of them every `stride` tokens.

  All targets of the first window count, and the last `stride` of each other one: so every
  token after the first is a target once, with at least `sequence_length` - `stride` tokens
  of context besides the one before it, as far as the sequence has them. The training split
  has no such windows.
  """

  of: Windows
  stride: int  # Tokens, at most `sequence_length`.

  @property
  def vocabulary(self) -> Vocabulary:
    return self.of.vocabulary

  @property
  def fingerprint(self) -> str:
    return self.of.fingerprint

  @property
  def token_bytes(self) -> np.ndarray | None:
    return self.of.token_bytes

  def bytes_per_token(self, split: str) -> float | None:
    return self.of.bytes_per_token(split)

  def length(self, split: str) -> int:
    return self.of.length(split)

  def windows(self, split: str, starts: np.ndarray) -> np.ndarray:
    return self.of.windows(split, starts)

  def size(self, split: str) -> int:
    later = max(0, self.length(split) - 1 - self.sequence_length)
    return 1 + -(-later // self.stride)

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    del epoch
    starts = indices * self.stride
    tokens = self.windows(split, starts)
    place = np.arange(1, self.sequence_length + 1)  # Of the targets, in their window.
    counted = (starts == 0)[:, None] | (place > self.sequence_length - self.stride)
    counted &= starts[:, None] + place < self.length(split)
    return Batch(tokens[:, :-1], tokens[:, 1:], counted.astype(np.float32))
