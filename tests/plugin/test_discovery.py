"""Plugins in files, modules and packages are loaded, and a broken one is reported."""

import importlib
import sys
from pathlib import Path

import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.errors import UserError
from attention_lab.plugin import discovery

ATTENTION = """
import dataclasses

from attention_lab import MultiHead, register_attention


@register_attention("{name}")
@dataclasses.dataclass(kw_only=True)
class Mine(MultiHead):
  width: int = 3

  def attend(self, q, k, v, mask):
    return v
"""


@pytest.fixture(autouse=True)
def isolated(monkeypatch):
  """Remove the modules and components that a test has loaded."""
  monkeypatch.setattr(attentions, "_parts", dict(attentions._parts))
  monkeypatch.setattr(sys, "path", list(sys.path))
  yield
  for name in list(sys.modules):
    if name.startswith(("plugin_", "attention_lab_plugin_")):
      del sys.modules[name]


@pytest.fixture
def installed(tmp_path, monkeypatch):
  """Return a function that installs a package of one module, with an entry point."""

  def install(module, code):
    folder = tmp_path / module
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(code)
    (info / "METADATA").write_text(f"Name: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[attention_lab.plugins]\nx = {module}\n")
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()

  return install


def write(path, code):
  path.parent.mkdir(exist_ok=True)
  path.write_text(code)
  return str(path)


@pytest.mark.parametrize("folder", discovery.FOLDERS)
def test_every_module_of_a_built_in_folder_is_imported(folder):
  package = importlib.import_module(f"attention_lab.{folder}")
  discovery.load()
  for path in Path(package.__path__[0]).glob("*.py"):
    name = (
      package.__name__ if path.stem == "__init__" else f"{package.__name__}.{path.stem}"
    )
    assert name in sys.modules


def test_file_registers_its_components(tmp_path):
  discovery.load([write(tmp_path / "mine.py", ATTENTION.format(name="from_file"))])
  assert list(attentions.options("from_file"))[-1] == "width"


def test_module_registers_its_components(tmp_path, monkeypatch):
  write(tmp_path / "plugin_by_name.py", ATTENTION.format(name="from_module"))
  monkeypatch.syspath_prepend(tmp_path)
  discovery.load(["plugin_by_name"])
  assert attentions["from_module"].__module__ == "plugin_by_name"


def test_installed_package_registers_its_components(installed):
  installed("plugin_package", ATTENTION.format(name="from_package"))
  discovery.load()
  assert attentions["from_package"].__module__ == "plugin_package"


def test_file_named_twice_is_imported_once(tmp_path):
  path = write(tmp_path / "mine.py", ATTENTION.format(name="from_file"))
  discovery.load([path, path])
  assert "from_file" in attentions


def test_file_imports_another_file_of_its_folder(tmp_path):
  code = f"from plugin_helper import WIDTH\n{ATTENTION}"
  for folder in ("first", "second"):
    write(tmp_path / folder / "plugin_helper.py", "WIDTH = 3\n")
    code_of_folder = code.format(name=folder)
    write(tmp_path / folder / "mine.py", code_of_folder)
  discovery.load([str(tmp_path / "first" / "mine.py")])
  assert "first" in attentions
  with pytest.raises(UserError) as error:  # The module of the first would be imported.
    discovery.load([str(tmp_path / "second" / "mine.py")])
  assert f"it imports plugin_helper, which is {tmp_path / 'first'}" in str(error.value)
  assert "second" not in attentions


def test_file_may_have_the_name_of_a_library_that_it_imports(tmp_path):
  code = f"import haiku\n{ATTENTION.format(name='named_haiku')}assert haiku.Module\n"
  discovery.load([write(tmp_path / "haiku.py", code)])
  assert "named_haiku" in attentions


def test_files_of_the_same_name_are_different_plugins(tmp_path):
  discovery.load(
    write(tmp_path / name / "mine.py", ATTENTION.format(name=name)) for name in "ab"
  )
  assert attentions["a"].__module__ != attentions["b"].__module__


def test_broken_installed_package_is_reported_and_does_not_stop_the_others(
  installed, capsys
):
  installed("plugin_broken", "raise RuntimeError('first\\nsecond')")
  installed("plugin_whole", ATTENTION.format(name="whole"))
  discovery.load()
  assert "whole" in attentions
  assert capsys.readouterr().err == (
    "warning: the installed plugin 'plugin_broken' was not loaded: "
    "plugin_broken.py, line 1: RuntimeError: first second\n"
  )


@pytest.mark.parametrize(
  ("plugin", "reason"),
  [
    ("no_such_plugin", "No module named 'no_such_plugin'"),
    ("no.such.plugin", "No module named 'no'"),
    ("", "Empty module name"),
    ("nowhere/mine.py", "there is no such file."),
    (".py", "there is no such file."),
  ],
)
def test_missing_plugin_is_reported(plugin, reason):
  with pytest.raises(UserError) as error:
    discovery.load([plugin])
  assert str(error.value).startswith(f"Plugin {plugin}: ")
  assert reason in str(error.value)


@pytest.mark.parametrize(
  ("code", "reason"),
  [
    ("x = 1\ny = 1 / 0", r"mine\.py, line 2: ZeroDivisionError: division"),
    ("def f(:", r"mine\.py, line 1: SyntaxError: "),
    ("import no_such_module_here", r"No module named 'no_such_module_here'"),
    (ATTENTION.format(name="standard"), "already registered this name"),
    (ATTENTION.format(name="two words"), "a name is a word"),
  ],
)
def test_failing_plugin_is_reported_with_the_error(tmp_path, code, reason):
  path = write(tmp_path / "mine.py", code)
  with pytest.raises(UserError, match=f"Plugin {path}: .*{reason}") as error:
    discovery.load([path])
  assert "\n" not in str(error.value)


def test_failed_plugin_can_be_fixed_and_loaded(tmp_path):
  path = write(tmp_path / "mine.py", "raise RuntimeError")
  with pytest.raises(UserError):
    discovery.load([path])
  write(tmp_path / "mine.py", ATTENTION.format(name="fixed_after_a_failure"))
  discovery.load([path])
  assert "fixed_after_a_failure" in attentions


FORGOTTEN = ATTENTION.replace('@register_attention("{name}")\n', "")


def test_plugin_without_the_decorator_is_refused_with_the_line_to_add(tmp_path):
  path = write(tmp_path / "mine.py", FORGOTTEN)
  answer = 'Put @attention_lab.register_attention("name") above class Mine.'
  for _ in range(2):  # A refused file is not remembered as loaded.
    with pytest.raises(UserError, match="registers nothing") as error:
      discovery.load([path])
    assert str(error.value) == f"Plugin {path}: it registers nothing. {answer}"


@pytest.mark.parametrize(
  "code", ["", "import attention_lab", FORGOTTEN.replace("attend", "other")]
)
def test_plugin_that_registers_nothing_gives_a_warning(tmp_path, capsys, code):
  path = write(tmp_path / "mine.py", code)
  discovery.load([path, path])
  assert capsys.readouterr().err == f"warning: the plugin {path} registers nothing.\n"


def test_plugin_that_was_imported_before_gives_no_warning(
  tmp_path, monkeypatch, capsys
):
  write(tmp_path / "plugin_twice.py", ATTENTION.format(name="twice"))
  monkeypatch.syspath_prepend(tmp_path)
  importlib.import_module("plugin_twice")
  discovery.load(["plugin_twice"])
  assert capsys.readouterr().err == ""


def test_file_is_stored_as_an_absolute_path(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert discovery.resolve("mine.py") == str(tmp_path / "mine.py")
  assert discovery.resolve("~/mine.py") == str(Path.home().resolve() / "mine.py")


def test_module_is_stored_by_its_name():
  assert discovery.resolve("package.module") == "package.module"
