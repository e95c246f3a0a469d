"""Trees of arrays that the first process has, for all: bit for bit."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from attention_lab.checkpoint import Restored
from attention_lab.processes.group import Group


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


def share_restored(
  group: Group, restored: Sequence[Restored], like: Any
) -> list[Restored]:
  """What the first process has restored, one for each seed: with it all go on.

  Args:
    group: the processes.
    restored: from checkpoints; of the first process alone it counts.
    like: a tree like each of theirs.
  """
  if group.count == 1:
    return list(restored)

  def about() -> bytes:
    return json.dumps([(str(one.path), one.meta) for one in restored]).encode()

  abouts = json.loads(group.share("a checkpoint", about))
  own = [one.tree for one in restored] or [None] * len(abouts)  # None is never asked.
  return [
    Restored(
      share_tree(group, f"the state of {path}", partial(_same, x), like),
      meta,
      Path(path),
    )
    for x, (path, meta) in zip(own, abouts, strict=True)
  ]


def _same(tree: Any) -> Any:
  return tree
