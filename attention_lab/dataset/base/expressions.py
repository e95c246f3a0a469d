"""Random expressions over lists of digits, grown level by level as arrays of nodes.

The grammar is that of ListOps (arXiv:1804.06028): a node is an operator with probability
1/4, unless it is on the last level, and otherwise a digit. The root is an operator. A node
is a function of its seed, which is a function of its parent's seed: whole batches of trees
are grown at once, and each tree depends on the seed of its root alone.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from attention_lab.dataset.base.counter_random import GOLDEN, mix


class Level(NamedTuple):
  """The nodes of all trees at one depth, in their order from left to right."""

  seeds: np.ndarray  # uint64.
  tree: np.ndarray  # Index of the tree that a node belongs to.
  args: np.ndarray  # Number of children; 0 for a digit.
  symbol: np.ndarray  # Digit 0 … 9, or 10 + number of the operator.


# Each of these functions reads different bits of a seed, so the results are independent.


def _is_operator(seeds: np.ndarray) -> np.ndarray:
  return seeds >> np.uint64(62) == 0


def _args(seeds: np.ndarray, max_args: int) -> np.ndarray:
  bits = seeds >> np.uint64(32) & np.uint64(2**30 - 1)
  return 2 + (bits * np.uint64(max_args - 1) >> np.uint64(30)).astype(np.int64)


def _symbol(seeds: np.ndarray, inner: np.ndarray) -> np.ndarray:
  operator = seeds >> np.uint64(30) & np.uint64(3)
  digit = (seeds & np.uint64(2**30 - 1)) * np.uint64(10) >> np.uint64(30)
  return np.where(inner, 10 + operator, digit).astype(np.int64)


def _children(seeds: np.ndarray, args: np.ndarray) -> np.ndarray:
  """Return the seeds of the children of operators, from left to right."""
  which = np.arange(1, args.sum() + 1) - np.repeat(_first(args), args)
  return mix(np.repeat(seeds, args) + which.astype(np.uint64) * GOLDEN)


def _first(args: np.ndarray) -> np.ndarray:
  """Return the index of each operator's first child on the next level."""
  return np.cumsum(args) - args


def lengths(
  seeds: np.ndarray, max_depth: int, max_args: int, longest: int
) -> np.ndarray:
  """Return the number of tokens of the trees of these seeds.

  Trees of more than `longest` tokens are not grown to their end: the number returned for
  them is above `longest`, but not exact.
  """
  tokens = np.ones(len(seeds), np.int64)  # The root.
  tree = np.arange(len(seeds))
  for _ in range(1, max_depth):
    args = _args(seeds, max_args)
    # An operator adds its closing bracket and one token per child.
    tokens += np.bincount(tree, 1 + args, len(tokens)).astype(np.int64)
    fits = tokens[tree] <= longest
    tree, args = tree[fits], args[fits]
    seeds = _children(seeds[fits], args)
    inner = _is_operator(seeds)
    seeds, tree = seeds[inner], np.repeat(tree, args)[inner]
  return tokens


@dataclasses.dataclass
class Trees:
  """Trees, their levels from the root down."""

  levels: list[Level]

  def __post_init__(self) -> None:
    # Number of tokens in each node's subtree, from the bottom up.
    self._sizes = [np.ones(len(level.args), np.int64) for level in self.levels]
    for i, parents in reversed([*enumerate(self.levels[:-1])]):
      inner = parents.args > 0
      self._sizes[i][inner] = 2 + np.add.reduceat(
        self._sizes[i + 1], _first(parents.args[inner])
      )

  def lengths(self) -> np.ndarray:
    """Return the number of tokens of each tree."""
    return self._sizes[0]

  def values(self) -> np.ndarray:
    """Return the value of each tree: 0 … 9."""
    values = self.levels[-1].symbol
    for level in reversed(self.levels[:-1]):
      inner = level.args > 0
      args = level.args[inner]
      first = _first(args)
      parent = np.repeat(np.arange(len(args)), args)
      ordered = values[np.lexsort((values, parent))]
      results = np.stack(
        [
          ordered[first],
          ordered[first + args - 1],
          (ordered[first + (args - 1) // 2] + ordered[first + args // 2]) // 2,
          np.add.reduceat(values, first) % 10,
        ]
      )
      values = level.symbol.copy()
      values[inner] = results[level.symbol[inner] - 10, np.arange(len(args))]
    return values

  def write(self, tokens: np.ndarray, starts: np.ndarray, close: int) -> None:
    """Write each tree into its row of `tokens`, from its index in `starts` on."""
    for i, level in enumerate(self.levels):
      tokens[level.tree, starts] = level.symbol
      inner = level.args > 0
      tokens[level.tree[inner], starts[inner] + self._sizes[i][inner] - 1] = close
      if i + 1 < len(self.levels):
        sizes = self._sizes[i + 1]
        args = level.args[inner]
        before = np.cumsum(sizes) - sizes  # Tokens before a node, on its level.
        base = starts[inner] + 1 - before[_first(args)]
        starts = np.repeat(base, args) + before


def grow(seeds: np.ndarray, max_depth: int, max_args: int) -> Trees:
  """Return the trees of these seeds."""
  tree, inner = np.arange(len(seeds)), np.ones(len(seeds), bool)
  levels = []
  for depth in range(1, max_depth + 1):
    if depth == max_depth:
      inner = np.zeros(len(seeds), bool)
    elif depth > 1:
      inner = _is_operator(seeds)
    args = np.where(inner, _args(seeds, max_args), 0)
    levels.append(Level(seeds, tree, args, _symbol(seeds, inner)))
    if not inner.any():
      break
    seeds, tree = _children(seeds[inner], args[inner]), np.repeat(tree, args)
  return Trees(levels)
