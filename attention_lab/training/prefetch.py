"""Brings a dataset's batches onto the devices, ahead of time."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from attention_lab.dataset.base.dataset import Batch, Dataset, each_array
from attention_lab.dataset.base.validation import refuse_unsound
from attention_lab.distributed.devices import part, shard


class Ahead:
  """Makes batches on a thread of its own while the devices compute.

  Args:
    make: (step, count) → the batches of `count` steps from `step` on.
  """

  def __init__(self, make: Callable[[int, int], Any]):
    self._make = make
    self._thread = ThreadPoolExecutor(1, "batches")
    self._foreseen: tuple[int, int, Future[Any]] | None = None
    self.waited = 0.0  # Seconds that `take` took.

  def foresee(self, step: int, count: int) -> None:
    """Begins to make what will be asked for next."""
    self._foreseen = (step, count, self._thread.submit(self._make, step, count))

  def take(self, step: int, count: int) -> Any:
    """The batches, which may reach further than `count` steps."""
    start = time.perf_counter()
    foreseen, self._foreseen = self._foreseen, None
    if foreseen and foreseen[0] == step and foreseen[1] >= count:
      batches = foreseen[2].result()
    else:
      batches = self._make(step, count)
    self.waited += time.perf_counter() - start
    return batches


def stack(
  dataset: Dataset,
  step: int,
  count: int,
  length: int,
  batch_size: int,
  part: tuple[int, int] = (0, 1),
) -> Batch:
  """The training batches of `count` steps as one: [length, B, T], the rest empty; of
  their rows one part of so many."""
  batches = dataset.batches("train", step, count, batch_size, part)
  refuse_unsound(dataset, "train", batches)

  def fill(array: np.ndarray) -> np.ndarray:
    rest = np.zeros((length - count, *array.shape[1:]), array.dtype)
    return np.concatenate([array, rest]) if len(rest) else array

  return each_array(fill, batches)


def placed_stack(
  dataset: Dataset, step: int, count: int, length: int, batch_size: int, devices: Any
) -> Any:
  """`stack`, split over the devices along the batch: [n, length, B/n, T].

  Of several processes each makes what its own devices are given.
  """
  batches = stack(dataset, step, count, length, batch_size, part(devices))
  return shard(batches, devices, axis=1)


def placed_batches(
  dataset: Dataset, split: str, count: int, batch_size: int, devices: Any
) -> Iterator[Any]:
  """The first batches of a split, each split over the devices: [n, B/n, T]."""
  for step in range(count):
    batch = dataset.batch(split, step, batch_size, part(devices))
    refuse_unsound(dataset, split, batch)
    yield shard(batch, devices)
