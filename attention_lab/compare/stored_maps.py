"""Attention maps that a comparison has stored next to the folders of its runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from attention_lab.compare.analysis.record import Maps, Reference
from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.system import npz
from attention_lab.system.code_hash import digest
from attention_lab.system.regular import read_regular

LARGEST = 2**28  # Bytes of the arrays of a file.


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
  try:
    with npz.load(read_regular(path), expands_to=LARGEST) as stored:
      tokens, weights = stored["tokens"], stored["weights"]
      layers = stored.get("layers")  # Earlier versions did not store numbers.
      reference = [stored.get(f"reference_{name}") for name in Reference._fields]
  except (OSError, ValueError, KeyError):
    raise _malformed(path) from None
  if weights.size == 0:
    return None
  square = (len(tokens), len(tokens)) if tokens.ndim == 1 else ()
  shown = weights.ndim == 4 and weights.shape[2:] == square
  if not (shown and weights.dtype == np.float32 and tokens.dtype.kind == "U"):
    raise _malformed(path)
  if layers is None:
    layers = np.arange(1, len(weights) + 1)
  if layers.dtype.kind != "i" or layers.shape != weights.shape[:1]:
    raise _malformed(path)
  return Maps(tokens.tolist(), weights, layers.tolist(), _reference(path, reference))


def _reference(path: Path, stored: Sequence[np.ndarray | None]) -> Reference | None:
  """Return the fields of a file as a record; None if it has none of them."""
  if all(each is None for each in stored):
    return None
  if any(each is None for each in stored):
    raise _malformed(path)
  layers, shares, uniform = map(np.asarray, stored)
  kinds = [each.dtype.kind for each in (layers, shares, uniform)]
  sizes = layers.ndim, shares.ndim, uniform.ndim
  if kinds != ["i", "f", "f"] or sizes != (1, 2, 0) or len(layers) != len(shares):
    raise _malformed(path)
  return Reference(layers.tolist(), shares, float(uniform))


def _malformed(path: Path) -> UserError:
  return UserError(f"{path} does not hold attention maps. Remove it.")
