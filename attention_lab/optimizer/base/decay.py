"""Masks of weight decay: matrices, or all parameters."""

from collections.abc import Callable
from typing import Any

import jax


def is_stacked(path: Any) -> bool:
  """Return whether the array at a path leads with the layer, as those of equal layers."""
  return "layers/" in path[0].key


def matrices(params: Any) -> Any:
  """True for the parameters that decay: matrices, but no biases, scales or offsets."""

  def decays(path: Any, leaf: Any) -> bool:
    return leaf.ndim - is_stacked(path) >= 2

  return jax.tree_util.tree_map_with_path(decays, params)


def mask(decay_all: bool) -> Callable[[Any], Any] | None:
  """Return the mask of optax for the parameters that decay; None for all."""
  return None if decay_all else matrices
