"""Whether a disk has room for what a run will keep there, asked before it starts."""

import shutil
from collections.abc import Sequence
from typing import Any

import jax

from attention_lab.errors import UserError
from attention_lab.run.checkpoint import Checkpoints

MEGABYTE = 1e6


def refuse_full(runs: Sequence[Checkpoints], state: Any) -> None:
  """Raises UserError where the checkpoints still to come do not fit on the disk.

  Beside the newest ones that are kept there are the best one and, while it is written,
  the next. A quota is not seen, nor what others will write meanwhile.

  Args:
    runs: of each of the runs that train side by side, all on one disk.
    state: a tree of shapes and dtypes: what a checkpoint holds besides its files.
  """
  size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
  needed = sum(run.to_come() * (size + run.files_size) for run in runs)
  folder, keep = runs[0].folder, runs[0].keep
  free = shutil.disk_usage(folder).free
  if needed > free:
    raise UserError(
      f"{folder} has {free / MEGABYTE:,.1f} MB free, and the checkpoints to come take "
      f"{needed / MEGABYTE:,.1f} MB. Make room, keep fewer with "
      f"--config.checkpoint.keep=1 (now {keep}), or name another --workdir."
    )
