"""Order of the training examples: random, another one in each pass and in each run."""

from collections.abc import Sequence

import numpy as np

_KEPT = 4  # Number of results that are kept: a batch may span two passes.


class Order:
  """The order of the training examples, as a function of the dataset's seed and the pass.

  Args:
    run_seed: the run's seed; None for an order that all runs share, which is that of
      seed 0.
  """

  def __init__(self, run_seed: int | None = None):
    self.run_seed = run_seed
    self._kept: dict[tuple[int, ...], tuple[np.ndarray, ...]] = {}

  def random(self, seed: int, epoch: int, *stream: int) -> np.random.Generator:
    """Return random numbers of one pass.

    Args:
      seed: the dataset's seed.
      epoch: number of the pass.
      stream: further numbers; each sequence of them has random numbers of its own.
    """
    of_run = (2, self.run_seed) if self.run_seed else ()
    return np.random.default_rng((seed, epoch, *stream, *of_run))

  def permutation(self, seed: int, epoch: int, size: int) -> np.ndarray:
    """Return the order of `size` examples in one pass."""
    (only,) = self._cached(seed, epoch, size)
    return only

  def permutations(
    self, seed: int, epoch: int, shared: int, sizes: Sequence[int]
  ) -> tuple[np.ndarray, ...]:
    """Return a permutation of `shared` items that runs share, then one of each size."""
    return self._cached(seed, epoch, shared, *sizes)

  def _cached(self, seed: int, epoch: int, *sizes: int) -> tuple[np.ndarray, ...]:
    key = seed, epoch, *sizes
    found = self._kept.get(key)
    if found is None:
      found = self._make(seed, epoch, *sizes)
      self._kept = dict([*self._kept.items(), (key, found)][-_KEPT:])
    return found

  def _make(
    self, seed: int, epoch: int, first: int, *others: int
  ) -> tuple[np.ndarray, ...]:
    random = self.random(seed, epoch)
    if not others:
      return (random.permutation(first),)
    if not self.run_seed:
      return tuple(random.permutation(size) for size in (first, *others))
    shared = np.random.default_rng((seed, epoch)).permutation(first)
    return shared, *(random.permutation(size) for size in others)
