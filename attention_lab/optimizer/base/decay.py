"""Parameters that weight decay applies to: matrices of weights, or all."""

from collections.abc import Callable, Collection
from typing import Any

import jax

LAYERS = "layers/"  # Ends the name of a stack of equal layers.


def is_stacked(path: Any) -> bool:
  """Return whether the array at a path leads with the layer, as those of equal layers."""
  return LAYERS in path[0].key


def matrices(params: Any, undecayed: Collection[tuple[str, str]] = ()) -> Any:
  """True for the parameters that decay: matrices, but no biases, scales or offsets.

  Args:
    params: the parameters.
    undecayed: (module, name) of matrices that do not decay; in a stack of equal layers
      the name of the module is that within the layer.
  """

  def decays(path: Any, leaf: Any) -> bool:
    declared = path[0].key.rpartition(LAYERS)[2], path[-1].key
    return leaf.ndim - is_stacked(path) >= 2 and declared not in undecayed

  return jax.tree_util.tree_map_with_path(decays, params)


def mask(decay_all: bool, decays: Callable[[Any], Any]) -> Callable[[Any], Any] | None:
  """Return the mask of optax for the parameters that decay; None for all."""
  return None if decay_all else decays
