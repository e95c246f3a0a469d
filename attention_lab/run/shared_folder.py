"""The folder of a run in several processes: only the first process can access it."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from attention_lab.distributed.group import Group
from attention_lab.distributed.tree import share_tree
from attention_lab.run import folder as run_folder
from attention_lab.run.checkpoint import Restored


def share_path(group: Group, make: Callable[[], Path]) -> Path:
  """Return the path of the run's folder that the first process makes, on all processes."""
  return Path(group.share(lambda: str(make()).encode()).decode())


def kept_files(group: Group, folders: Sequence[Path]) -> dict[str, bytes]:
  """Return the files that the runs of these folders keep, the same in all of them.

  Raises:
    UserError: as `run_folder.kept`, on the first process.
  """
  found: dict[str, bytes] = {}
  if group.first:
    found = next(filter(None, map(run_folder.kept, folders)), {})
  names = json.loads(group.share(json.dumps([*found]).encode))
  return {name: group.share(partial(found.__getitem__, name)) for name in names}


def share_restored(
  group: Group, restored: Sequence[Restored], like: Any
) -> list[Restored]:
  """Return the states that the first process restored, one per seed, on all processes.

  Args:
    group: the processes.
    restored: restored from checkpoints; ignored on all processes but the first.
    like: a tree with the structure, shapes and dtypes of one state.
  """
  if group.count == 1:
    return list(restored)

  def describe() -> bytes:
    return json.dumps([(str(one.path), one.meta) for one in restored]).encode()

  listed = json.loads(group.share(describe))
  own = [one.tree for one in restored] or [None] * len(listed)
  return [
    Restored(share_tree(group, partial(_itself, x), like), meta, Path(path))
    for x, (path, meta) in zip(own, listed, strict=True)
  ]


def _itself(tree: Any) -> Any:
  return tree
