"""The architecture: imports only go down, and the root of the package stays small."""

import ast
from pathlib import Path

import pytest

from attention_lab.plugin import discovery

PACKAGE = Path(__file__).parents[1] / "attention_lab"
# Each folder of the package, and each module in its root, with the number of its layer.
# A module imports modules of its own folder and of folders with a smaller number.
LAYERS = {
  "errors": 0,
  "functional": 0,
  "system": 1,
  "plugin": 2,
  "settings": 3,
  "config": 4,
  "nn": 5,
  "kernel": 6,
  "tokenizer.base": 5,
  "tokenizer": 6,
  "position.base": 7,
  "dataset.reader": 7,
  "dataset.base": 8,
  "position": 8,
  "dataset": 9,
  "norm.base": 7,
  "norm": 8,
  "schedule.base": 7,
  "schedule": 8,
  "optimizer.base": 8,
  "optimizer": 9,
  "attention.base": 9,
  "attention": 10,
  "block.base": 10,
  "block": 11,
  "architecture.base": 11,
  "architecture": 12,
  "distributed": 13,
  "compatibility": 13,
  "update": 14,
  "named_parts": 14,
  "experiment": 15,
  "run": 16,
  "decode": 16,
  "benchmark": 17,
  "conformance": 18,
  "catalogue": 19,
  "training": 19,
  "compare.analysis": 19,
  "compare": 20,
  "compare.report.figures": 21,
  "compare.report": 22,
  "mode": 23,
  "api.results": 23,
  "api": 24,
  "api.flax": 25,
  "api.equinox": 25,
  "main": 24,
  "__main__": 26,
}
# Folders whose modules are parts: they import from their base, never from each other.
PARTS = discovery.FOLDERS


def modules():
  """Return the dotted name of every module inside the package, with its path."""
  found = {}
  for path in sorted(PACKAGE.rglob("*.py")):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[-1] != "__init__":
      found[".".join(parts)] = path
  return found


MODULES = modules()


def folder(module):
  """Return the folder of a module; a module in the root is a folder of its own."""
  return module.rpartition(".")[0] or module


def layer(module):
  """Return the number of a module's layer."""
  assert folder(module) in LAYERS, f"{module}: give its folder a layer in {__file__}"
  return LAYERS[folder(module)]


def imports(path):
  """Yield the modules of the package that a file imports, wherever in it."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      base = node.module or ""
      names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
    else:
      continue
    for name in names:
      inside = name.removeprefix("attention_lab.")
      if name != inside and inside in MODULES:
        yield inside


def wrong_imports(module, path):
  """Return the imports of a module that break the order of the layers."""
  return [
    other
    for other in imports(path)
    if (
      folder(module) in PARTS
      if folder(other) == folder(module)
      else layer(other) >= layer(module)
    )
  ]


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_go_down(module):
  wrong = wrong_imports(module, MODULES[module])
  assert not wrong, f"{module} (layer {layer(module)}) imports {wrong}"


def test_an_upward_import_is_detected(tmp_path):
  path = tmp_path / "registry.py"
  path.write_text("def f():\n  from attention_lab.mode import train\n")
  assert wrong_imports("plugin.registry", path) == ["mode.train"]


def test_an_import_within_one_layer_is_detected(tmp_path):
  path = tmp_path / "mine.py"
  path.write_text("from attention_lab.dataset.copy import Copy\n")
  assert wrong_imports("position.mine", path) == ["dataset.copy"]


def test_a_part_that_imports_a_part_is_detected(tmp_path):
  path = tmp_path / "mine.py"
  path.write_text("from attention_lab.attention.standard import Standard\n")
  assert wrong_imports("attention.mine", path) == ["attention.standard"]


def test_every_layer_names_a_folder():
  assert {folder(module) for module in MODULES} == set(LAYERS)


def test_the_root_is_small():
  assert sum(path.is_file() for path in PACKAGE.iterdir()) <= 11


def test_only_main_reads_flags():
  for module, path in MODULES.items():
    if module not in ("main", "settings.flags"):
      assert "absl" not in path.read_text(), module


CONFIGURED = (
  "experiment",
  "named_parts",
  "training.identity",
  "training.preflight",
  "training.changes",
  "training.restoring",
  "main",
  "config",
)


def test_only_upper_layers_know_the_configuration():
  for module, path in MODULES.items():
    upper = module in CONFIGURED or folder(module) in ("compare", "mode", "api")
    assert upper or "config" not in imports(path), module
    if module != "config":
      assert "ml_collections" not in path.read_text(), module


READING_PATH = ("main", "experiment", "update", "training.loop")


def test_the_reading_path_is_short():
  assert sum(len(lines(MODULES[module])) for module in READING_PATH) < 900


def lines(path):
  return path.read_text().splitlines()


def too_long(path):
  """Yield what exceeds the limits of files, classes and functions."""
  if len(lines(path)) > 320:
    yield f"{path}: {len(lines(path))} lines"
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ClassDef):
      methods = [x for x in node.body if isinstance(x, ast.FunctionDef)]
      if len(methods) > 15:
        yield f"{path}: {node.name} has {len(methods)} methods"
    if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 50:
      yield f"{path}: {node.name} has {node.end_lineno - node.lineno + 1} lines"


def test_files_classes_and_functions_are_small():
  assert [found for path in MODULES.values() for found in too_long(path)] == []


def test_a_long_function_class_and_file_are_detected(tmp_path):
  path = tmp_path / "long.py"
  methods = "".join(f"  def f{i}(self):\n    pass\n" for i in range(16))
  path.write_text("def f():\n" + "  x = 1\n" * 300 + "class A:\n" + methods)
  assert len(list(too_long(path))) == 3


def test_every_file_begins_with_a_docstring():
  for module, path in MODULES.items():
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert text, module
    assert text.split("\n")[0].endswith((".", ":")), module
