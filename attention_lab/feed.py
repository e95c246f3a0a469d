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
  batches = [dataset.batch("train", step + i, batch_size) for i in range(count)]

  def fill(*arrays: np.ndarray) -> np.ndarray:
    rest = np.zeros((length - count, *arrays[0].shape), arrays[0].dtype)
    return np.concatenate([np.stack(arrays), rest])

  return Batch(*(fill(*arrays) for arrays in zip(*batches, strict=True)))


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
