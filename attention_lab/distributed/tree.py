"""Shares trees of arrays of the first process with all others, bit for bit."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from attention_lab.distributed.group import Group


def share_tree(group: Group, make: Callable[[], Any], like: Any) -> Any:
  """Return the first process's tree of arrays, on all processes.

  Args:
    group: the processes.
    make: makes the tree; called on the first process only.
    like: a tree with the same structure, shapes and dtypes.

  Returns:
    Host arrays; the result of `make` itself if there is one process.
  """
  if group.count == 1:
    return make()

  def content() -> bytes:
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(make()))

  data, start, leaves = group.share(content), 0, []
  for leaf in jax.tree.leaves(like):
    flat = np.frombuffer(data, leaf.dtype, leaf.size, start)
    leaves.append(flat.reshape(leaf.shape))
    start += flat.nbytes
  return jax.tree.unflatten(jax.tree.structure(like), leaves)
