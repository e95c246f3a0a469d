"""Hashes of the code that runs: this package, plugins and the modules that they use."""

import contextlib
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def code_hash() -> str:
  """Return the sha256, in hex, of this package, plugins and the modules they use."""
  digest = hashlib.sha256()
  for path in _files():
    with contextlib.suppress(OSError):
      digest.update(path.read_bytes())
  return digest.hexdigest()


def code_hashes() -> dict[str, str]:
  """Return the sha256, in hex, of each file, by name.

  Files of this package are named by their path in it, others by their file name, since
  folders differ between machines.
  """
  found: dict[str, str] = {}
  for path in _files():
    inside = path.is_relative_to(PACKAGE)
    name = str(path.relative_to(PACKAGE.parent)) if inside else path.name
    with contextlib.suppress(OSError):
      earlier = found.get(name, "").encode()  # Two plugins may have the same file name.
      found[name] = hashlib.sha256(earlier + path.read_bytes()).hexdigest()
  return found


def _files() -> list[Path]:
  return sorted({*PACKAGE.rglob("*.py"), *_own_code()})


def _own_code() -> Iterator[Path]:
  """Yield the files of loaded modules outside of Python's own folders."""
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
