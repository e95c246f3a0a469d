"""The arrays of a checkpoint: a tree's leaves by name, and the tree made of them."""

from pathlib import Path
from typing import Any

import jax

from attention_lab.errors import UserError

META = "meta.json"
FILES = "files/"  # Prefix of the names of the files that a checkpoint holds.


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
  """Return the leaves of a tree, each with its name in a checkpoint."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves]


def unflatten(like: Any, arrays: Any, path: Path, only: str) -> Any:
  """Return the arrays in the structure of `like`, with the same shapes and dtypes.

  All arrays whose names begin with `only` have to be in `like`.
  """
  leaves = []
  expected = named_leaves(like)
  for name, leaf in expected:
    if name not in arrays:
      raise UserError(f"{path} is of another model: it has no {name}.")
    array = arrays[name]
    if (array.shape, array.dtype) != (leaf.shape, leaf.dtype):
      raise UserError(
        f"{path} is of another model: {name} is {array.dtype}{list(array.shape)}, "
        f"expected {leaf.dtype}{list(leaf.shape)}."
      )
    leaves.append(array)
  known = {name for name, _ in expected} | {META}
  own = {name for name in arrays if not name.startswith(FILES)}
  surplus = {name for name in own if name.startswith(only)} - known
  if surplus:
    raise UserError(f"{path} is of another model: it also has {sorted(surplus)[0]}.")
  return jax.tree.unflatten(jax.tree.structure(like), leaves)
