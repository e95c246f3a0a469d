"""Attention maps that a comparison has stored next to the folders of its runs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from attention_lab.compare.analysis.record import Maps
from attention_lab.run import folder as run_folder
from attention_lab.system.code_hash import digest


def path_of(cell: Path, code: Mapping[str, str]) -> Path | None:
  """Return the file of a run's maps; None if it has no checkpoint.

  Args:
    cell: the run's folder.
    code: hashes of the code that computes the maps.
  """
  checkpoint = max((cell / run_folder.CHECKPOINTS).glob("*.npz"), default=None)
  if checkpoint is None:
    return None
  return cell.with_name(f"{cell.name}.maps-{checkpoint.stem}-{digest(code)}.npz")


def read(path: Path) -> Maps | None:
  """Return the maps of a file; None if the attention has none for each pair of tokens."""
  with np.load(path, allow_pickle=False) as stored:
    tokens, weights = stored["tokens"].tolist(), stored["weights"]
  return Maps(tokens, weights) if weights.size else None
