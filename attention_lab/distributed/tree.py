"""Trees of arrays that the first process has, for all: bit for bit."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from attention_lab.distributed.group import Group


def share_tree(group: Group, what: str, make: Callable[[], Any], like: Any) -> Any:
  """The first process's tree of arrays.

  Args:
    group: the processes.
    what: it is, for people.
    make: makes the tree, on the first process alone.
    like: a tree with the structure, shapes and dtypes that it has.

  Returns:
    Alone, what `make` returns; else host arrays.
  """
  if group.count == 1:
    return make()

  def content() -> bytes:
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(make()))

  data, start, leaves = group.share(what, content), 0, []
  for leaf in jax.tree.leaves(like):
    flat = np.frombuffer(data, leaf.dtype, leaf.size, start)
    leaves.append(flat.reshape(leaf.shape))
    start += flat.nbytes
  return jax.tree.unflatten(jax.tree.structure(like), leaves)
