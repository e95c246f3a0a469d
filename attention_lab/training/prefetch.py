"""Places batches on the devices, and prefetches the next ones on a thread."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from attention_lab.dataset.base.dataset import Batch, Dataset, each_array
from attention_lab.dataset.base.validation import refuse_invalid_batch
from attention_lab.distributed.devices import process_shard, shard


class Prefetcher:
  """Makes batches on a thread of its own while the devices compute.

  Args:
    make: (step, count) → the batches of `count` steps, from step `step` on.
  """

  def __init__(self, make: Callable[[int, int], Any]):
    self._make = make
    self._thread = ThreadPoolExecutor(1, "batches")
    self._next: tuple[int, int, Future[Any]] | None = None
    self.waited = 0.0  # Seconds spent in `take`.

  def prefetch(self, step: int, count: int) -> None:
    """Start to make the batches of the next call."""
    self._next = (step, count, self._thread.submit(self._make, step, count))

  def take(self, step: int, count: int) -> Any:
    """Return the batches of `count` steps, and maybe of more."""
    start = time.perf_counter()
    prefetched, self._next = self._next, None
    if prefetched and prefetched[0] == step and prefetched[1] >= count:
      batches = prefetched[2].result()
    else:
      batches = self._make(step, count)
    self.waited += time.perf_counter() - start
    return batches


def stack(
  datasets: Sequence[Dataset],
  step: int,
  count: int,
  length: int,
  batch_size: int,
  shard: tuple[int, int] = (0, 1),
) -> Batch:
  """Return the training batches of `count` steps as one, padded with zeros.

  Args:
    datasets: sources of the batches: one, or one for each seed of a program.
    step: the first step.
    count: number of steps.
    length: number of steps after padding.
    batch_size: examples per step, over all devices.
    shard: (index, count), the shard of each batch that this process feeds.

  Returns:
    [length, B, T], or [length, seeds, B, T] from several datasets.
  """
  made = [
    dataset.batches("train", step, count, batch_size, shard) for dataset in datasets
  ]
  for dataset, batches in zip(datasets, made, strict=True):
    refuse_invalid_batch(dataset, "train", batches)
  return filled(side_by_side(made, axis=1), length)


def side_by_side(batches: Sequence[Batch], axis: int) -> Batch:
  """Return the batches of each seed as one with an axis of seeds, if there are several."""
  if len(batches) == 1:
    return batches[0]
  return each_array(lambda *arrays: np.stack(arrays, axis), *batches)


def filled(batches: Batch, length: int) -> Batch:
  """Return stacked batches [K, ..., B, T], padded with zeros: [length, ..., B, T]."""

  def fill(array: np.ndarray) -> np.ndarray:
    rest = np.zeros((length - len(array), *array.shape[1:]), array.dtype)
    return np.concatenate([array, rest]) if len(rest) else array

  return each_array(fill, batches)


def placed_stack(
  datasets: Sequence[Dataset],
  step: int,
  count: int,
  length: int,
  batch_size: int,
  devices: Any,
) -> Any:
  """Return `stack`, split over the devices along the batch: [n, length, ..., B/n, T].

  Each process makes the shard of its own devices.
  """
  batches = stack(datasets, step, count, length, batch_size, process_shard(devices))
  return shard(batches, devices, axis=-2)


def placed_batches(
  dataset: Dataset, split: str, numbers: Iterable[int], batch_size: int, devices: Any
) -> Iterator[Any]:
  """Yield the batches `numbers` of a split, each split over the devices: [n, B/n, T]."""
  for step in numbers:
    batch = dataset.batch(split, step, batch_size, process_shard(devices))
    refuse_invalid_batch(dataset, split, batch)
    yield shard(batch, devices)
