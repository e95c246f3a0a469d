"""Batches whose examples come from several datasets, in given shares."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from attention_lab.dataset.base.dataset import (
  Batch,
  Dataset,
  behind_prefix,
  each_array,
  in_passes,
  num_batches,
  rows_of,
)
from attention_lab.dataset.base.parts import Parted
from attention_lab.dataset.base.wrapped import Wrapped

BLOCK = 1000  # Training examples that hold the shares exactly.
STREAM = 4  # Of the random numbers of a block; see `Order.random`.


@dataclasses.dataclass(kw_only=True)
class Mixed(Wrapped, Parted):
  """Draws each training example from one of several sources.

  Every `BLOCK` examples in succession hold the shares exactly, in a random order, so the
  source of an example, and its number within that source, are a function of its number in
  the run. Each source goes through passes of its own, in its own order. The other splits
  have the batches of the sources, one source after another. A subclass gives the sources
  to `mix`.
  """

  def mix(
    self, sources: Sequence[Dataset], names: Sequence[str], counts: Sequence[int]
  ) -> None:
    """Set the sources, their names, and how many examples of a block each has."""
    self.wrap(*sources)
    self.source_names = tuple(names)
    self.counts = tuple(counts)

  @property
  def shares(self) -> dict[str, float]:
    """Share of each source in the training examples, by its name."""
    counts = zip(self.source_names, self.counts, strict=True)
    return {name: count / BLOCK for name, count in counts}

  def size(self, split: str) -> int:
    return sum(each.size(split) for each in self.sources)

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    ends = np.cumsum([each.size(split) for each in self.sources])
    chosen = np.searchsorted(ends, indices, side="right")
    within = indices - np.concatenate([[0], ends])[chosen]
    return self._gather(chosen, within, lambda x, at: x.examples(split, epoch, at))

  def batches(
    self,
    split: str,
    step: int,
    count: int,
    batch_size: int,
    shard: tuple[int, int] = (0, 1),
  ) -> Batch:
    if split != "train":
      some = [self._of_one(split, step + i, batch_size, shard) for i in range(count)]
      return each_array(lambda *arrays: np.stack(arrays), *some)
    places = rows_of(step + np.arange(count), batch_size, shard)
    batch = self._gather(*self._drawn(places.ravel()), in_passes)
    batch = each_array(lambda array: array.reshape(*places.shape, -1), batch)
    return behind_prefix(batch, self.prefix_length)

  def shapes(self, split: str, batch_size: int) -> dict[int, int]:
    if split == "train":
      return super().shapes(split, batch_size)
    return {0: int(self._ends(split, batch_size)[-1])}

  def parts(self, split: str, batch_size: int) -> dict[str, range]:
    ends = self._ends(split, batch_size).tolist()
    ranges = map(range, [0, *ends[:-1]], ends)
    return dict(zip(self.source_names, ranges, strict=True))

  def part_source(self, name: str) -> Dataset:
    return self.sources[self.source_names.index(name)]

  def _ends(self, split: str, batch_size: int) -> np.ndarray:
    """Return the number of batches up to each source's last: [sources]."""
    return np.cumsum([num_batches(each, split, batch_size) for each in self.sources])

  def _of_one(
    self, split: str, step: int, batch_size: int, shard: tuple[int, int]
  ) -> Batch:
    """Return a batch of another split than "train"; after its end, one without weight."""
    ends = self._ends(split, batch_size)
    chosen = min(int(np.searchsorted(ends, step, side="right")), len(ends) - 1)
    start = ends[chosen - 1] if chosen else 0
    return self.sources[chosen].batch(split, int(step - start), batch_size, shard)

  def _drawn(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the source of training examples, and their numbers within it: [B], [B].

    Args:
      numbers: their numbers in the run, ascending: [B].
    """
    blocks, places = np.divmod(numbers, BLOCK)
    chosen, within = np.empty_like(numbers), np.empty_like(numbers)
    one_block = np.repeat(np.arange(len(self.counts)), self.counts)
    for block in np.unique(blocks):
      order = self.order.random(self.seed, int(block), STREAM).permutation(one_block)
      earlier = np.cumsum(order[:, None] == np.arange(len(self.counts)), axis=0) - 1
      at = blocks == block
      chosen[at] = order[places[at]]
      rank = earlier[places[at], chosen[at]]
      within[at] = block * np.array(self.counts)[chosen[at]] + rank
    return chosen, within

  def _gather(
    self,
    chosen: np.ndarray,
    within: np.ndarray,
    read: Callable[[Dataset, np.ndarray], Batch],
  ) -> Batch:
    """Return examples of several sources, in the order of `chosen`.

    Args:
      chosen: number of the source of each example: [B].
      within: its number within the source: [B].
      read: (source, numbers) → its examples.
    """
    places = [np.flatnonzero(chosen == i) for i in range(len(self.counts))]
    parts = [
      read(source, within[at])
      for source, at in zip(self.sources, places, strict=True)
      if len(at)
    ]
    back = np.argsort(np.concatenate(places))
    return each_array(lambda *arrays: np.concatenate(arrays)[back], *parts)
