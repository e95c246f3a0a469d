"""Discovers components: built-in folders, entry points of packages, and --plugin.

There is no list to edit: every module of a built-in folder is imported, and its decorators
register what it defines.
"""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from attention_lab.errors import UserError, one_line
from attention_lab.plugin.contract import Contract
from attention_lab.plugin.registry import REGISTRIES
from attention_lab.system import code_hash
from attention_lab.system.imports import file_of, imported_names

FOLDERS = (
  "attention",
  "position",
  "dataset",
  "architecture",
  "block",
  "norm",
  "optimizer",
  "schedule",
  "tokenizer",
)
ENTRY_POINTS = "attention_lab.plugins"
# Begins the names of modules that are loaded from a file.
FILE_PREFIX = "attention_lab_plugin_"


def load(plugins: Iterable[str] = ()) -> None:
  """Import the built-in components, every installed plugin package, and `plugins`.

  Args:
    plugins: dotted module names, or paths that end in ".py".

  Raises:
    UserError: a plugin does not exist, or raises while it is imported.
  """
  for folder in FOLDERS:
    package = importlib.import_module(f"attention_lab.{folder}")
    for module in pkgutil.iter_modules(package.__path__):
      importlib.import_module(f"{package.__name__}.{module.name}")
  for entry_point in importlib.metadata.entry_points(group=ENTRY_POINTS):
    try:
      entry_point.load()
      _remember(sys.modules[entry_point.module])
    except Exception as error:  # A broken package must not stop the others.
      print(
        f"warning: the installed plugin {entry_point.value!r} was not loaded: "
        f"{one_line(error)}",
        file=sys.stderr,
      )
  for plugin in plugins:
    _load_one(plugin)


def _remember(module: ModuleType) -> None:
  """Remember the location of a plugin: its file, or the folder of its package."""
  top = sys.modules[module.__name__.partition(".")[0]]
  if getattr(top, "__file__", None) is None:  # A namespace, shared with others.
    top = module
  file = getattr(top, "__file__", None)
  if file is not None:
    inside = hasattr(top, "__path__") or "." in top.__name__
    code_hash.add_plugin(Path(file).parent if inside else Path(file))


def resolve(plugin: str) -> str:
  """Return `plugin` as a run stores it: an absolute path, or a module name."""
  return str(Path(plugin).expanduser().resolve()) if _is_file(plugin) else plugin


def _is_file(plugin: str) -> bool:
  return plugin.endswith(".py")


def _load_one(plugin: str) -> None:
  loaded, registered = set(sys.modules), sum(map(len, REGISTRIES))
  try:
    file = _is_file(plugin)
    module = _import_file(Path(plugin)) if file else importlib.import_module(plugin)
    _remember(module)
    if module.__name__ not in loaded and sum(map(len, REGISTRIES)) == registered:
      _refuse_unregistered(module)
      print(f"warning: the plugin {plugin} registers nothing.", file=sys.stderr)
  except UserError as error:
    raise UserError(f"Plugin {plugin}: {error}") from None
  except (Exception, SystemExit) as error:
    known = plugin if _is_file(plugin) else ""
    forms = "" if known else " --plugin takes package.module or path/to/file.py."
    raise UserError(
      f"Plugin {plugin}: {one_line(error, within=known)}.{forms}"
    ) from error


def _refuse_unregistered(module: ModuleType) -> None:
  """Raise `UserError` if a module that registers nothing defines a component."""
  for registry in REGISTRIES:
    if not isinstance(registry.contract, Contract):
      continue
    for name, member in vars(module).items():
      own = isinstance(member, type) and member.__module__ == module.__name__
      if not own or inspect.isabstract(member):
        continue
      if issubclass(member, registry.contract.base):
        del sys.modules[module.__name__]  # So that it can be loaded again.
        raise UserError(
          f"it registers nothing. Put "
          f'@attention_lab.register_{registry.kind}("name") above class {name}.'
        )


def _import_file(path: Path) -> ModuleType:
  path = path.expanduser().resolve()
  if not os.path.isfile(path):
    raise UserError("there is no such file.")
  # The name contains the path's hash: two files called mine.py are two plugins.
  digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
  name = f"{FILE_PREFIX}{path.stem}_{digest}"
  if name in sys.modules:
    return sys.modules[name]
  spec = importlib.util.spec_from_file_location(name, path)
  assert spec is not None  # A path that ends in ".py" has a loader.
  assert spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module  # Before execution: dataclasses look their module up.
  try:
    _find_beside(path)
    spec.loader.exec_module(module)
  except BaseException:
    del sys.modules[name]
    raise
  return module


def _find_beside(path: Path) -> None:
  """Let a plugin import the files beside it, after those that Python already finds.

  Raises:
    UserError: it would get a file of the same name from another place; libraries excepted.
  """
  folder = str(path.parent)
  if folder not in sys.path:
    sys.path.append(folder)  # At the end: a plugin may be called haiku.py.
    importlib.invalidate_caches()
  for name in sorted(imported_names(path.read_bytes())):
    beside, found = path.with_name(f"{name}.py"), file_of(name)
    if not beside.is_file() or found is None or code_hash.is_library(found):
      continue
    if found.resolve() != beside:
      raise UserError(
        f"it imports {name}, which is {found} and not {beside}. Rename that file."
      )
