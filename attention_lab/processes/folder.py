"""The run's folder, as the first process knows it; the others may not see it at all."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ml_collections import config_dict

from attention_lab import run_folder
from attention_lab.processes.group import Group


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
