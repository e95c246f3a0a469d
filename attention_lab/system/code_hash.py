"""Hashes of the code that runs: this package, plugins and the modules that they use."""

import contextlib
import hashlib
import itertools
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
# Files of plugins, and folders of packages of plugins, wherever they are installed.
_plugins: set[Path] = set()


def add_plugin(place: Path) -> None:
  """Add the file of a plugin, or the folder of its package, to the code that runs."""
  _plugins.add(place)


def is_plugin_file(filename: str) -> bool:
  """Return whether a source file belongs to a loaded plugin or to its package."""
  return any(Path(filename).is_relative_to(place) for place in _plugins)


def code_hash() -> str:
  """Return the sha256, in hex, of this package, plugins and what they use.

  Of installed packages that hold no plugins, the versions count.
  """
  digest = hashlib.sha256(repr(_installed()).encode())
  for path in _files():
    with contextlib.suppress(OSError):
      digest.update(path.read_bytes())
  return digest.hexdigest()


def code_hashes() -> dict[str, str]:
  """Return the sha256, in hex, of each file, by name.

  Files of this package and of packages of plugins are named by their path in it, others
  by their file name, since folders differ between machines.
  """
  found: dict[str, str] = {}
  packages = [PACKAGE, *sorted(place for place in _plugins if place.is_dir())]
  for path in _files():
    above = [each for each in packages if path.is_relative_to(each)]
    name = str(path.relative_to(above[0].parent)) if above else path.name
    with contextlib.suppress(OSError):
      earlier = found.get(name, "").encode()  # Two plugins may have the same file name.
      found[name] = hashlib.sha256(earlier + path.read_bytes()).hexdigest()
  return found


def _files() -> list[Path]:
  plugins = (
    place.rglob("*.py") if place.is_dir() else [place] for place in list(_plugins)
  )
  return sorted({*PACKAGE.rglob("*.py"), *itertools.chain(*plugins), *_own_code()})


def _installed() -> list[str]:
  """Return the names of installed packages, with their versions."""
  folders = {sysconfig.get_path(key) for key in ("purelib", "platlib")}
  return sorted(
    path.name for folder in folders for path in Path(folder).glob("*.dist-info")
  )


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
