"""Brings a dataset's batches onto the devices."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from attention_lab.dataset.base import Batch, Dataset
from attention_lab.devices import shard


def stack(
  dataset: Dataset, step: int, count: int, length: int, batch_size: int
) -> Batch:
  """The training batches of `count` steps as one: [length, B, T], the rest empty."""
  batches = dataset.batches("train", step, count, batch_size)

  def fill(array: np.ndarray) -> np.ndarray:
    rest = np.zeros((length - count, *array.shape[1:]), array.dtype)
    return np.concatenate([array, rest]) if len(rest) else array

  return Batch(*map(fill, batches))


def placed_stack(
  dataset: Dataset, step: int, count: int, length: int, batch_size: int, devices: Any
) -> Any:
  """`stack`, split over the devices along the batch: [n, length, B/n, T]."""
  return shard(stack(dataset, step, count, length, batch_size), devices, axis=1)


def placed_batches(
  dataset: Dataset, split: str, count: int, batch_size: int, devices: Any
) -> Iterator[Any]:
  """The first batches of a split, each split over the devices: [n, B/n, T]."""
  for step in range(count):
    yield shard(dataset.batch(split, step, batch_size), devices)
