"""The modules that a module imports, directly or not, read from their source.

Nothing is imported, so the answer does not depend on what a process has loaded.
"""

import ast
import functools
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

# Imports in a block `if TYPE_CHECKING:` are never executed.
TYPES_ONLY = "TYPE_CHECKING"


class Imported(NamedTuple):
  """Modules that some modules import, directly or not."""

  files: dict[str, Path]  # Of followed modules, by dotted name.
  libraries: set[str]  # Top-level names of the modules that were not followed.


def imported(starts: Iterable[str], follow: Callable[[Path], bool]) -> Imported:
  """Return the files of modules and of all modules that they import.

  An import inside a function counts. What a program imports by a name that it computes is
  not found.

  Args:
    starts: dotted names.
    follow: whether to read a file; the modules of others are named in `libraries`.
  """
  found, seen, waiting = Imported({}, set()), set[str](), list(starts)
  while waiting:
    name = waiting.pop()
    if name in seen:
      continue
    seen.add(name)
    path = file_of(name)
    if path is None:
      continue
    if not follow(path):
      found.libraries.add(name.partition(".")[0])
      continue
    found.files[name] = path
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for statement in _statements(path.read_bytes()):
      waiting += _names(statement, package)
  return found


class _Statement(NamedTuple):
  """An import statement: `from ..module import names`."""

  level: int  # Number of leading dots.
  module: str
  names: tuple[str, ...]


@functools.lru_cache(maxsize=4096)
def _statements(source: bytes) -> tuple[_Statement, ...]:
  """Return the import statements of a source; none if it is not Python."""
  try:
    return tuple(_visit(ast.parse(source)))
  except (SyntaxError, ValueError):
    return ()


def imported_names(source: bytes) -> set[str]:
  """Return the dotted names that a source imports, without relative ones."""
  return {each.module for each in _statements(source) if not each.level}


def _visit(node: ast.AST) -> Iterator[_Statement]:
  if isinstance(node, ast.Import):
    for alias in node.names:
      yield _Statement(0, alias.name, ())
  elif isinstance(node, ast.ImportFrom):
    names = tuple(alias.name for alias in node.names)
    yield _Statement(node.level, node.module or "", names)
  elif isinstance(node, ast.If) and ast.unparse(node.test).endswith(TYPES_ONLY):
    for statement in node.orelse:
      yield from _visit(statement)
  else:
    for child in ast.iter_child_nodes(node):
      yield from _visit(child)


def _names(statement: _Statement, package: str) -> Iterator[str]:
  """Yield the modules that a statement may import, and the packages that hold them."""
  module = statement.module
  if statement.level:
    try:
      relative = "." * statement.level + module
      module = importlib.util.resolve_name(relative, package)
    except ImportError:  # The module belongs to no package.
      return
  for name in (module, *(f"{module}.{each}" for each in statement.names)):
    parts = name.split(".")
    yield from (".".join(parts[: end + 1]) for end in range(len(parts)))


def file_of(name: str) -> Path | None:
  """Return the source file of a module; None if it has none or does not exist."""
  loaded = getattr(sys.modules.get(name), "__file__", None)
  if loaded is not None:
    return Path(loaded).absolute() if loaded.endswith(".py") else None
  spec = _spec(name)
  if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
    return None
  return Path(spec.origin).absolute()


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
  """Return where a module is found, without importing the packages that hold it."""
  above, _, _ = name.rpartition(".")
  if not above:  # Any finder may know it, such as that of an editable installation.
    try:
      return importlib.util.find_spec(name)
    except (ImportError, ValueError):
      return None
  places = _places(above)
  if not places:
    return None
  try:
    return importlib.machinery.PathFinder.find_spec(name, places)
  except KeyError:  # A folder without __init__.py in a package that is not loaded.
    return None


def _places(package: str) -> Sequence[str] | None:
  """Return the folders of a package; None if it is none."""
  loaded = getattr(sys.modules.get(package), "__path__", None)
  if loaded is not None:
    return list(loaded)
  spec = _spec(package)
  return None if spec is None else spec.submodule_search_locations
