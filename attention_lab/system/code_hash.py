"""Hashes of the code that runs: this package, plugins and the modules that they use."""

import contextlib
import functools
import hashlib
import importlib.metadata
import itertools
import json
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attention_lab.system.imports import imported
from attention_lab.system.session_code import session_code
from attention_lab.system.versions import installed

PACKAGE = Path(__file__).parents[1]
# Packages whose version the numbers of every run depend on.
NUMERICAL = ("jax", "jaxlib", "dm-haiku", "optax")
# Files and folders of this package that a run imports and no number depends on: what it
# prints and logs, what it refuses, and how it treats files, signals and memory.
WITHOUT_NUMBERS = (
  "compatibility.py",
  "conformance",
  "errors.py",
  "plugin/attribution.py",
  "plugin/consent.py",
  "plugin/usage.py",
  "run/code.py",
  "run/disk_space.py",
  "run/folder.py",
  "run/tensorboard.py",
  "run/wandb.py",
  "settings",
  "system",
  "training/identity.py",
  "training/listener.py",
  "training/messages.py",
  "training/progress.py",
)
SHORT = 16  # Hex digits of a hash that is stored for each file.
VERSION = "version of "  # Begins the names of libraries in a result of `used_code`.
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
  return _by_name(_files())


def used_code(common: Iterable[str], components: Iterable[Any]) -> dict[str, str]:
  """Return a short hash of each file that code uses, and versions of libraries.

  Used is what a module imports, directly or not: its source says so. Of a package of
  plugins among Python's libraries, all files count; of other libraries, the versions of
  those in `NUMERICAL` and of those that the components import and `common` does not.
  A class or function without a file has a hash of its own.

  Args:
    common: dotted names of the modules that every run uses.
    components: the classes and functions that define the components of a run.

  Returns:
    Hashes by the names of `code_hashes`, or dotted names as "__main__.Mine"; versions by
    "version of jax".
  """
  session = session_code(components)
  base = imported(common, _is_own)
  own = imported(session.modules, _is_own)
  files = {*base.files.values(), *own.files.values()}
  for place in _plugins:
    if place.is_dir() and is_library(place):
      inside = any(path.is_relative_to(place) for path in files)
      files.update(place.rglob("*.py") if inside else ())
  found = {
    name: sha256[:SHORT]
    for name, sha256 in _by_name(sorted(files)).items()
    if not name.startswith(_WITHOUT_NUMBERS)
  }
  found |= {name: sha256[:SHORT] for name, sha256 in session.hashes.items()}
  for package in sorted({*NUMERICAL, *_packages(own.libraries - base.libraries)}):
    found[f"{VERSION}{package}"] = str(installed(package))
  return found


_WITHOUT_NUMBERS = tuple(f"{PACKAGE.name}/{each}" for each in WITHOUT_NUMBERS)


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
  """Return the names in which two results of `used_code` differ."""
  return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


def digest(code: Mapping[str, str]) -> str:
  """Return a short hash of a result of `used_code`."""
  text = json.dumps(dict(code), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:SHORT]


def _packages(modules: set[str]) -> set[str]:
  """Return the installed packages that hold top-level modules."""
  if not modules - set(sys.stdlib_module_names):
    return set()  # The list of all packages takes a tenth of a second.
  holders = importlib.metadata.packages_distributions()
  return {package for module in modules for package in holders.get(module, ())}


def _is_own(path: Path) -> bool:
  """Return whether a file is of this package, a plugin, or not among libraries."""
  return (
    path.is_relative_to(PACKAGE) or is_plugin_file(str(path)) or not is_library(path)
  )


def _by_name(paths: Iterable[Path]) -> dict[str, str]:
  found: dict[str, str] = {}
  packages = [PACKAGE, *sorted(place for place in _plugins if place.is_dir())]
  for path in paths:
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
  for module in list(sys.modules.values()):
    file = getattr(module, "__file__", None)
    if isinstance(file, str) and file.endswith(".py") and not is_library(file):
      yield Path(file)


def is_library(path: str | Path) -> bool:
  """Return whether a path is in one of Python's own folders."""
  return str(path).startswith(_libraries())


@functools.cache  # Called for every loaded module; sysconfig takes 0.2 ms.
def _libraries() -> tuple[str, ...]:
  keys = ("stdlib", "purelib", "platlib")
  return tuple(os.path.join(sysconfig.get_path(key), "") for key in keys)
