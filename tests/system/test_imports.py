"""Imports are found in the source, without importing."""

import importlib.util
import sys
import types

import pytest

from attention_lab.system.imports import imported

FILES = {
  "pack_of_imports/__init__.py": "",
  "pack_of_imports/start.py": (
    "from typing import TYPE_CHECKING\n"
    "from . import near\n"
    "def f():\n  from pack_of_imports.sub.late import x\n"
    "if TYPE_CHECKING:\n  import pack_of_imports.types\n"
    "try:\n  import no_such_module\nexcept ImportError:\n  pass\n"
  ),
  "pack_of_imports/near.py": "import pack_of_imports.start\nfrom os import path\n",
  "pack_of_imports/sub/__init__.py": "from .. import above\n",
  "pack_of_imports/sub/late.py": "this is no Python\n",
  "pack_of_imports/above.py": "",
  "pack_of_imports/types.py": "",
  "pack_of_imports/unused.py": "",
}


@pytest.fixture
def pack(tmp_path, monkeypatch):
  for name, text in FILES.items():
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
  monkeypatch.syspath_prepend(tmp_path)
  return tmp_path


def test_modules_are_followed(pack):
  found = imported(["pack_of_imports.start"], lambda path: path.is_relative_to(pack))
  expected = {"", ".start", ".near", ".sub", ".sub.late", ".above"}
  assert set(found.files) == {f"pack_of_imports{name}" for name in expected}
  assert found.libraries == {"os", "typing"}
  assert not any(name.startswith("pack_of_imports") for name in sys.modules)


def test_a_relative_import_outside_of_a_package_is_passed_over(tmp_path, monkeypatch):
  (tmp_path / "alone_of_imports.py").write_text("from .. import x\n")
  monkeypatch.syspath_prepend(tmp_path)
  found = imported(["alone_of_imports"], lambda path: True)
  assert set(found.files) == {"alone_of_imports"}


class Finder:
  """Finds a package that is on no path, as an editable installation does."""

  def __init__(self, name, folder):
    self.name, self.folder = name, folder

  def find_spec(self, name, path=None, target=None):
    if name != self.name:
      return None
    file = self.folder / "__init__.py"
    return importlib.util.spec_from_file_location(
      name, file, submodule_search_locations=[str(self.folder)]
    )


@pytest.mark.parametrize("loaded", [False, True])
def test_modules_of_an_editable_installation_are_found(loaded, pack, monkeypatch):
  monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(pack)])
  finder = Finder("pack_of_imports", pack / "pack_of_imports")
  monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
  if loaded:
    module = types.ModuleType("pack_of_imports")
    module.__path__ = [str(pack / "pack_of_imports")]
    module.__file__ = str(pack / "pack_of_imports" / "__init__.py")
    monkeypatch.setitem(sys.modules, "pack_of_imports", module)
  found = imported(["pack_of_imports.start"], lambda path: path.is_relative_to(pack))
  assert "pack_of_imports.sub.late" in found.files
