"""Files in the cache of data, with their sha256 beside them.

The sha256 is compared when a process first reads a file: what it was made of takes longer
to hash, which every start does too.
"""

import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path

from attention_lab.errors import UserError
from attention_lab.system.files import sha256_of, write_json

DIGESTS = "sha256.json"


def write_digests(folder: Path, names: Sequence[str]) -> None:
  """Write the sha256 of files beside them."""
  write_json(folder / DIGESTS, {name: sha256_of(folder / name) for name in names})


def refuse_damaged(folder: Path, names: Sequence[str]) -> None:
  """Raise `UserError` if a file does not have the sha256 that was written."""
  try:
    digests = json.loads((folder / DIGESTS).read_bytes())
    whole = all(_known_sha256(folder / name) == digests[name] for name in names)
  except (ValueError, OSError, KeyError, TypeError):
    whole = False
  if not whole:
    raise damaged(folder)


def damaged(folder: Path) -> UserError:
  """Return the error of a folder whose files are damaged."""
  return UserError(
    f"The files in {folder} are damaged. Remove that folder to make them again."
  )


def _known_sha256(path: Path) -> str:
  """Return the sha256 of a file, which is read again only if it has changed."""
  status = os.stat(path)
  return _cached_sha256(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _cached_sha256(path: Path, size: int, modified: int) -> str:
  del size, modified
  return sha256_of(path)
