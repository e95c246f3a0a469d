"""Inputs of laws, and the distance of outputs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Tokens. LONG exceeds the usual block and chunk sizes, and `MAX_LENGTH`.
SHORT, LONG = 6, 144
# Sequences in a batch of laws that need no other number, so that programs are shared.
BATCH = 4


def positions_of(batch: int, length: int, padding: int = 0) -> np.ndarray:
  """Return positions [B, T]: `padding` times -1, then 0, 1, 2, …."""
  row = np.maximum(np.arange(length, dtype=np.int32) - padding, -1)
  return np.tile(row, (batch, 1))


def cast_to(dtype: Any, tree: Any) -> Any:
  """Return a tree of arrays in another dtype."""
  return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf).astype(dtype)), tree)


def distance(actual: Any, expected: Any) -> float:
  """Return the largest absolute difference over the largest absolute expected value."""
  actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
  if not actual.size:
    return 0.0
  if not np.isfinite(actual).all():
    return float("nan")
  return float(np.abs(actual - expected).max() / (np.abs(expected).max() + 1e-30))
