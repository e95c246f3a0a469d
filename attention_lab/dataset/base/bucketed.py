"""Examples of many lengths, in batches of few shapes and of equally many tokens."""

import abc
import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from attention_lab.dataset.base.dataset import Batch, Dataset, each_array


def bucket_lengths(longest: int, count: int) -> tuple[int, ...]:
  """Return at most `count` lengths, ascending: the longest by 1, 2, 3, 4, 6, 8, 12, …

  Rows of such a length fill a row of the longest exactly, and except for the first step
  the next shorter length is at least about two thirds of it.
  """
  divisors = sorted({factor << i for i in range(count) for factor in (1, 3)})[:count]
  return tuple(sorted({longest // d for d in divisors if longest >= 2 * d}))


class Plan(NamedTuple):
  """Division of a split into batches; the batches of one bucket are consecutive."""

  members: tuple[np.ndarray, ...]  # Numbers of the examples of each bucket.
  lengths: tuple[int, ...]  # Row length of each bucket.
  rows: tuple[int, ...]  # Rows per batch of each bucket.
  ends: np.ndarray  # [buckets]: number of batches up to a bucket's last.

  @property
  def starts(self) -> np.ndarray:
    """Number of batches before each bucket's first: [buckets]."""
    return np.concatenate([[0], self.ends[:-1]])

  @property
  def batches(self) -> int:
    """Number of batches."""
    return int(self.ends[-1])

  @property
  def positions(self) -> int:
    """Number of positions of all batches, including padding."""
    area = np.array(self.rows) * np.array(self.lengths)
    return int((self.ends - self.starts) @ area)


@dataclasses.dataclass(kw_only=True)
class Bucketed(Dataset):
  """Pads examples to the next of a few lengths.

  Every batch has the budget of `batch_size` rows of `sequence_length` tokens; shorter rows
  come in larger numbers. One training pass shuffles every bucket, divides it evenly over as
  few batches as hold it, and shuffles all batches. Each example occurs once per pass;
  surplus rows have weight 0, in each bucket fewer than one batch. Consecutive steps seldom
  have the same shape: runs of one length would bias an optimizer's moving averages.

  A subclass writes `lengths`, `tokens` and `padded` instead of `size` and `examples`.
  """

  buckets: int = 8  # Largest number of lengths that batches are padded to.

  @abc.abstractmethod
  def lengths(self, split: str) -> np.ndarray:
    """Return the positions that each example needs, at most `sequence_length`: [size]."""

  @abc.abstractmethod
  def tokens(self, split: str) -> int:
    """Return the number of positions that count, over all examples of a split."""

  @abc.abstractmethod
  def padded(self, split: str, indices: np.ndarray, length: int) -> Batch:
    """Return the examples with these numbers, padded to `length`."""

  def size(self, split: str) -> int:
    return len(self.lengths(split))

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    del epoch
    longest = self.lengths(split)[indices].max()
    lengths = bucket_lengths(self.sequence_length, self.buckets)
    return self.padded(split, indices, lengths[np.searchsorted(lengths, longest)])

  def batches(
    self,
    split: str,
    step: int,
    count: int,
    batch_size: int,
    shard: tuple[int, int] = (0, 1),
  ) -> Batch:
    some = [self._batch(split, step + i, batch_size, shard) for i in range(count)]
    return each_array(lambda *arrays: np.stack(arrays), *some)

  @property
  def num_shapes(self) -> int:
    return len(bucket_lengths(self.sequence_length, self.buckets))

  def shapes(self, split: str, batch_size: int) -> dict[int, int]:
    plan = self._plan(split, batch_size)
    return {
      int(np.argmax(self._order(split, 0, plan)[0] == start)): int(end - start)
      for start, end in zip(plan.starts, plan.ends, strict=True)
    }

  def tokens_per_step(self, batch_size: int) -> float:
    return self.tokens("train") / self._plan("train", batch_size).batches

  def described(self, batch_size: int) -> str:
    plan = self._plan("train", batch_size)
    shapes = [f"{r}×{n}" for r, n in zip(plan.rows, plan.lengths, strict=True)]
    padding = 1 - self.tokens("train") / plan.positions
    return (
      f"{self.size('train'):,} examples per pass, {plan.batches:,} steps of "
      f"{self.tokens_per_step(batch_size):,.0f} tokens in {len(shapes)} shapes "
      f"({', '.join(shapes)}), {padding:.0%} padding"
    )

  @functools.cached_property
  def _plans(self) -> dict[tuple[str, int], Plan]:
    return {}

  def _plan(self, split: str, batch_size: int) -> Plan:
    key = split, batch_size
    if key not in self._plans:
      self._plans[key] = self._make_plan(split, batch_size)
    return self._plans[key]

  def _make_plan(self, split: str, batch_size: int) -> Plan:
    lengths = np.array(bucket_lengths(self.sequence_length, self.buckets))
    bucket = np.searchsorted(lengths, self.lengths(split))
    members = [np.flatnonzero(bucket == i) for i in range(len(lengths))]
    used = [i for i, numbers in enumerate(members) if len(numbers)]
    rows = batch_size * (self.sequence_length // lengths)
    batches = [-(-len(members[i]) // int(rows[i])) for i in used]
    return Plan(
      tuple(members[i] for i in used),
      tuple(int(lengths[i]) for i in used),
      tuple(int(rows[i]) for i in used),
      np.cumsum(batches),
    )

  def _order(self, split: str, epoch: int, plan: Plan) -> tuple[np.ndarray, ...]:
    """Return the order of the batches of a pass, then that of each bucket's examples."""
    sizes = tuple(map(len, plan.members))
    if split == "train":
      # Runs that are trained side by side need batches of the same shape at each step.
      return self.order.permutations(self.seed, epoch, plan.batches, sizes)
    return _in_order(plan.batches, *sizes)

  def _batch(
    self, split: str, step: int, batch_size: int, shard: tuple[int, int]
  ) -> Batch:
    plan = self._plan(split, batch_size)
    epoch, within = divmod(step, plan.batches)
    order, *orders = self._order(split, epoch, plan)
    bucket = int(np.searchsorted(plan.ends, order[within], side="right"))
    size, rows = len(plan.members[bucket]), plan.rows[bucket]
    bounds = np.array([0, 1]) + order[within] - plan.starts[bucket]
    first, last = bounds * size // (plan.ends - plan.starts)[bucket]
    if split != "train" and epoch:  # After the end of the pass.
      last = first
    index, shards = shard
    places = np.arange(rows // shards) + index * (rows // shards) + first
    chosen = orders[bucket][np.minimum(places, size - 1)]
    batch = self.padded(split, plan.members[bucket][chosen], plan.lengths[bucket])
    inside = (places < last)[:, None].astype(np.float32)
    return batch._replace(weights=batch.weights * inside)


@functools.lru_cache(maxsize=4)
def _in_order(*sizes: int) -> tuple[np.ndarray, ...]:
  """Return the numbers from 0 on, for each size."""
  return tuple(np.arange(size) for size in sizes)
