"""Imports only go down: read from the source, without importing anything."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "attention_lab"
# A module stands on the floor of the first prefix that it matches.
FLOORS = {
  "errors": -2,
  "spec": -1,
  "versions": -1,
  "lock": -1.5,
  "files": -1,
  "output": -1,
  "npz": -1,
  "functional": 0,
  "registry": 0,
  "linear": 0,
  "gelu": 0,
  "norm": 0,
  "dropout": 0,
  "compile_cache": 0,
  "flops": 0,
  "timing": 0,
  "scaling": 0,
  "plot": 0,
  "position.base": 1,
  "position.pairs": 1,
  "attention.mask": 1,
  "attention.weights": 1,
  "attention.base": 2,
  "bench": 3,
  "kernel.bands": 1,
  "kernel.chunks": 1,
  "kernel.problem": 2,
  "kernel": 3,
  "kernel.choose": 4,
  "attention.multi_head": 5,
  "attention.weighted": 5.5,
  "attention.short_convolution": 5,
  "attention.recurrent": 5.5,
  "attention.delta": 5.7,
  "attention.recent": 5.5,
  "dataset.vocabulary": 1,
  "dataset.draws": 1,
  "dataset.lines": 1,
  "dataset.subwords": 1,
  "dataset.token_file": 1,
  "dataset.base": 2,
  "dataset.sound": 2.5,
  "dataset.text": 3,
  "dataset.expressions": 3,
  "dataset.generated": 3,
  "dataset.bucketed": 3,
  "dataset.strings": 4,
  "position": 6,  # Plugins, from here …
  "attention": 6,
  "dataset": 6,  # … to here, which never import each other.
  "devices": 1,
  "metrics": 1,
  "optimizer": 1,
  "checkpoint": 1,
  "space": 2,
  "journal": 1,
  "board": 1,
  "translation_scores": 1,
  "wandb_board": 2,
  "progress": 1,
  "interrupt": 1,
  "cross_entropy": 2,
  "update": 2,
  "feed": 3,
  "architecture.options": 3,
  "architecture.block": 4,
  "architecture.head": 3,
  "architecture.mixing": 4,
  "architecture.stack": 4.5,
  "architecture.base": 5,
  "architecture": 6,
  "generate": 6,
  "beam": 6,
  "plugins": 6,
  "memory": 0,
  "trust": 6.5,
  "health": 0,
  "trouble": 8.5,
  "blame": 6.5,
  "config": 6,
  "source": 0,
  "processes.wire": 0,
  "processes.group": 0.2,
  "processes.join": 0.4,
  "processes.tree": 1.2,
  "processes.start": 7,
  "processes.folder": 7.1,
  "pairing": 6,
  "run_folder": 7,
  "conformance.subject": 7,
  "conformance.law": 7.2,
  "conformance": 7.4,
  "conformance.check": 7.6,
  "conformance.leak": 7.6,
  "experiment": 7,
  "translate": 8,
  "evaluation": 8.5,
  "ready": 8.55,
  "attention_maps": 8,
  "trainer": 8,
  "logbook": 8,
  "bystander": 8.1,
  "seeds": 8,
  "account": 8.7,
  "training": 8.9,
  "utilisation": 8,
  "costs": 8,
  "restore": 8,
  "compare.record": 0,
  "compare.measures": 0,
  "compare.statistics": 0,
  "compare.table": 1,
  "compare.results": 1,
  "compare.markdown": 2,
  "compare.grid": 7,
  "compare.cells": 7.2,
  "compare.match": 8.5,
  "compare.plan": 8.6,
  "compare.launch": 8.65,
  "compare.costs": 8.65,
  "compare.maps": 8.65,
  "compare.collect": 8.68,
  "compare.cluster": 8.68,
  "compare.watch": 8.68,
  "compare.figures.svg": 1,
  "compare.figures.palette": 1,
  "compare.figures": 2,
  "compare.page": 3,
  "compare": 8.7,
  "mode": 9,
  "main": 10,
}


def modules():
  """Every module's dotted name inside the package, with its path."""
  for path in sorted(PACKAGE.rglob("*.py")):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[-1] != "__init__":
      yield ".".join(parts), path


MODULES = dict(modules())


def floor(module):
  """The floor of a module, by its longest known prefix."""
  parts = module.split(".")
  for length in range(len(parts), 0, -1):
    if (prefix := ".".join(parts[:length])) in FLOORS:
      return FLOORS[prefix]
  raise AssertionError(f"{module} stands on no floor; give it one in {__file__}")


def imports(path):
  """The modules of the package that a file imports, wherever in it."""
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


def broken(module, path):
  """The imports of a module that do not go down."""
  return [other for other in imports(path) if floor(other) >= floor(module)]


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_go_down(module):
  wrong = broken(module, MODULES[module])
  assert not wrong, f"{module} (floor {floor(module)}) imports {wrong}"


def test_an_import_that_goes_up_is_seen(tmp_path):
  path = tmp_path / "registry.py"
  path.write_text("def f():\n  from attention_lab.mode import train\n")
  assert broken("registry", path) == ["mode.train"]


def test_a_plugin_that_imports_a_plugin_is_seen(tmp_path):
  path = tmp_path / "mine.py"
  path.write_text("from attention_lab.attention.standard import Standard\n")
  assert broken("attention.mine", path) == ["attention.standard"]


def test_nothing_below_the_modes_reads_flags():
  for module, path in MODULES.items():
    if module != "main":
      assert "absl" not in path.read_text(), module


def test_every_file_says_first_what_it_is():
  for module, path in MODULES.items():
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert text, module
    assert text.split("\n")[0].endswith((".", ":")), module
    assert len(path.read_text().splitlines()) <= 400, module
