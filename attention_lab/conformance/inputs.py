"""Inputs of laws, and the distance of outputs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Tokens. LONG exceeds the usual block and chunk sizes, and `MAX_LENGTH`.
SHORT, LONG = 6, 144
# Sequences in a batch of laws that need no other number, so that programs are shared.
BATCH = 4


def positions_of(batch: int, length: int) -> np.ndarray:
  """Return positions 0, 1, 2, …: [B, T]."""
  return np.tile(np.arange(length, dtype=np.int32), (batch, 1))


def cast_to(dtype: Any, tree: Any) -> Any:
  """Return a tree of arrays in another dtype."""
  return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf).astype(dtype)), tree)


def infinite(tree: Any) -> float:
  """Return how many arrays of a tree are not finite."""
  return float(sum(not np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)))


def distance(actual: Any, expected: Any) -> float:
  """Return the largest absolute difference over the largest absolute expected value."""
  actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
  if not actual.size:
    return 0.0
  if not np.isfinite(actual).all():
    return float("nan")
  return float(np.abs(actual - expected).max() / (np.abs(expected).max() + 1e-30))
