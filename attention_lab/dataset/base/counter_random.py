"""Counter-based random numbers: those of each row depend only on its own number.

splitmix64 (Steele, Lea & Flood, doi:10.1145/2714064.2660195): the n-th number of a row is
a hash of the row's start plus n times a constant. So a whole batch is generated at once,
and every process generates the same row.
"""

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio.


def mix(x: np.ndarray) -> np.ndarray:
  """Return a hash: a bijection of uint64 in which every bit depends on every other."""
  x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
  x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
  return x ^ (x >> np.uint64(31))


def below(high: int, bits: np.ndarray) -> np.ndarray:
  """Map hashes to whole numbers 0 <= number < high, high < 2^31: int64, same shape."""
  return ((bits >> np.uint64(32)) * np.uint64(high) >> np.uint64(32)).astype(np.int64)


class CounterRandom:
  """Random numbers of some examples, generated as consecutive arrays [B, count].

  Args:
    seed: seed of all examples.
    stream: splits with different streams share no numbers.
    numbers: numbers of the examples: [B].
  """

  def __init__(self, seed: int, stream: int, numbers: np.ndarray):
    start = mix(np.array([seed], np.uint64) + GOLDEN)
    start = mix(start + np.array([stream], np.uint64) * GOLDEN)
    self.numbers = numbers
    self.rows = len(numbers)
    self._start = mix(start + numbers.astype(np.uint64) * GOLDEN)[:, None]
    self._count = 0

  def bits(self, count: int) -> np.ndarray:
    """Return uniform uint64."""
    steps = np.arange(self._count + 1, self._count + count + 1, dtype=np.uint64)
    self._count += count
    return mix(self._start + steps * GOLDEN)

  def integers(self, high: int, count: int) -> np.ndarray:
    """Return uniform whole numbers 0 <= number < high: int64."""
    return below(high, self.bits(count))

  def uniform(self, count: int) -> np.ndarray:
    """Return uniform numbers in the open interval (0, 1): float64."""
    return ((self.bits(count) >> np.uint64(12)) + 0.5) * 2.0**-52

  def order(self, count: int) -> np.ndarray:
    """Return the numbers 0 to count - 1 in a random order: int64."""
    return np.argsort(self.bits(count), axis=1)

  def distinct(self, high: int, count: int) -> np.ndarray:
    """Return distinct whole numbers 0 <= number < high: int64.

    Every ordered choice is equally probable. Floyd's algorithm
    (doi:10.1145/30401.315746): the time depends on `count` and not on `high`.
    """
    chosen = np.empty((self.rows, count), np.int64)
    for i, bits in enumerate(self.bits(count).T):
      last = high - count + i
      new = below(last + 1, bits)
      taken = (chosen[:, :i] == new[:, None]).any(axis=1)
      chosen[:, i] = np.where(taken, last, new)
    return np.take_along_axis(chosen, self.order(count), axis=1)
