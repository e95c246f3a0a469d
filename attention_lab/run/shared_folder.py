"""The run's folder, as the first process knows it; the others may not see it at all."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import config_dict

from attention_lab.distributed.group import Group
from attention_lab.distributed.tree import share_tree
from attention_lab.run import folder as run_folder
from attention_lab.run.checkpoint import Restored


def one_folder(
  group: Group, config: config_dict.ConfigDict, workdir: str | None
) -> Path:
  """The folder that the first process names: a new one is named after the time."""

  def name() -> bytes:
    return str(workdir or run_folder.new_folder(config)).encode()

  return Path(group.share("the run's folder", name).decode())


def kept_files(group: Group, folders: Sequence[Path]) -> dict[str, bytes]:
  """The files that the runs of these folders keep, the same in all of them.

  Raises:
    UserError: as `run_folder.kept`, on the first process.
  """
  found: dict[str, bytes] = {}
  if group.first:
    found = next(filter(None, map(run_folder.kept, folders)), {})
  names = json.loads(group.share("the run's files", json.dumps([*found]).encode))
  return {
    name: group.share(f"the run's {name}", partial(found.__getitem__, name))
    for name in names
  }


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
      share_tree(group, f"the state of {path}", partial(_itself, x), like),
      meta,
      Path(path),
    )
    for x, (path, meta) in zip(own, abouts, strict=True)
  ]


def _itself(tree: Any) -> Any:
  return tree
