"""Splits whose examples are in named parts, each with metrics of its own."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.dataset import (
  Batch,
  Dataset,
  behind_prefix,
  each_array,
  rows_of,
)


class Parted(Dataset):
  """Dataset whose splits, except for "train", have parts with metrics of their own.

  No batch has examples of two parts. A metric of a split is the mean over its parts,
  weighted by `shares`.
  """

  # The metrics of each part that are reported, as "METRIC/PART".
  part_metrics: ClassVar[tuple[str, ...]] = ("loss", "bits_per_byte")

  @property
  @abc.abstractmethod
  def shares(self) -> dict[str, float]:
    """The weight of each part, by its name, in the order of the parts."""

  @abc.abstractmethod
  def parts(self, split: str, batch_size: int) -> dict[str, range]:
    """Return the numbers of the batches of each part, of another split than "train"."""

  def part_source(self, name: str) -> Dataset:
    """Return the dataset that a part has its examples from."""
    del name
    return self


@dataclasses.dataclass(kw_only=True)
class EvenParts(Parted):
  """Dataset whose parts have equally many examples, one part after another.

  A subclass writes `part_names`, and a `size` that their number divides.
  """

  part_metrics: ClassVar[tuple[str, ...]] = ("accuracy", "sequence_accuracy")

  @property
  @abc.abstractmethod
  def part_names(self) -> Sequence[str]:
    """The names of the parts, in order."""

  @property
  def shares(self) -> dict[str, float]:
    return dict.fromkeys(self.part_names, 1 / len(self.part_names))

  def part_of(self, split: str, indices: np.ndarray) -> np.ndarray:
    """Return the number of the part of each example: [B]."""
    return indices * len(self.part_names) // self.size(split)

  def parts(self, split: str, batch_size: int) -> dict[str, range]:
    count = self._batches(split, batch_size)
    return {
      name: range(i * count, (i + 1) * count) for i, name in enumerate(self.part_names)
    }

  def _batches(self, split: str, batch_size: int) -> int:
    """Return the number of batches of each part."""
    return -(-self.size(split) // len(self.part_names) // batch_size)

  def shapes(self, split: str, batch_size: int) -> dict[int, int]:
    if split == "train":
      return super().shapes(split, batch_size)
    return {0: len(self.part_names) * self._batches(split, batch_size)}

  def batches(
    self,
    split: str,
    step: int,
    count: int,
    batch_size: int,
    shard: tuple[int, int] = (0, 1),
  ) -> Batch:
    if split == "train":
      return super().batches(split, step, count, batch_size, shard)
    places, numbers = np.divmod(
      step + np.arange(count), self._batches(split, batch_size)
    )
    within = rows_of(numbers, batch_size, shard)
    each = self.size(split) // len(self.part_names)
    inside = (within < each) & (places < len(self.part_names))[:, None]
    chosen = np.where(inside, places[:, None] * each + within, 0).ravel()
    found = self.examples(split, 0, chosen)
    weights = found.weights * inside.reshape(-1, 1).astype(np.float32)
    found = found._replace(weights=weights)
    found = each_array(lambda array: array.reshape(*within.shape, -1), found)
    return behind_prefix(found, self.prefix_length)
