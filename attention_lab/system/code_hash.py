"""The code that runs: hashes of this package's source and of all that is no library's."""

import contextlib
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def code_hash() -> str:
  """The sha256, in hex, of this package's source and of all code loaded besides that is
  no library's: plugins, and what they use."""
  digest = hashlib.sha256()
  for path in _files():
    with contextlib.suppress(OSError):
      digest.update(path.read_bytes())
  return digest.hexdigest()


def code_hashes() -> dict[str, str]:
  """The same file by file: name → sha256, in hex. Files of this package are named by
  their path in it, others by their last name, for machines have other folders."""
  found: dict[str, str] = {}
  for path in _files():
    inside = path.is_relative_to(PACKAGE)
    name = str(path.relative_to(PACKAGE.parent)) if inside else path.name
    with contextlib.suppress(OSError):
      earlier = found.get(name, "").encode()  # Two plugins may share a name.
      found[name] = hashlib.sha256(earlier + path.read_bytes()).hexdigest()
  return found


def _files() -> list[Path]:
  return sorted({*PACKAGE.rglob("*.py"), *_own_code()})


def _own_code() -> Iterator[Path]:
  """Files of loaded modules outside of Python's own folders: plugins, what they use."""
  libraries = tuple(
    os.path.join(sysconfig.get_path(key), "")
    for key in ("stdlib", "purelib", "platlib")
  )
  for module in list(sys.modules.values()):
    file = getattr(module, "__file__", None)
    if (
      isinstance(file, str) and file.endswith(".py") and not file.startswith(libraries)
    ):
      yield Path(file)
