"""Hashes of the code that runs, which covers plugins wherever they are installed."""

import importlib
import sys

import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.plugin import discovery
from attention_lab.system import code_hash

PLUGIN = """
import attention_lab

@attention_lab.register_attention("installed")
class Installed(attention_lab.Weighted):
  pass
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
  """Return the folder in which a package of a plugin and another one are installed."""
  site = tmp_path / "site-packages"
  for package, entry_points in (("plugin_pack", "x = plugin_pack.mine"), ("other", "")):
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").write_text("")
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[attention_lab.plugins]\n{entry_points}\n")
  (site / "plugin_pack" / "mine.py").write_text(PLUGIN)
  (site / "plugin_pack" / "lazy.py").write_text("X = 1\n")
  monkeypatch.setattr(code_hash.sysconfig, "get_path", lambda key: str(site))
  monkeypatch.setattr(code_hash, "_libraries", code_hash._libraries.__wrapped__)
  monkeypatch.setattr(code_hash, "_plugins", set())
  monkeypatch.setattr(attentions, "_parts", dict(attentions._parts))
  monkeypatch.syspath_prepend(site)
  importlib.invalidate_caches()
  discovery.load()
  yield site
  for name in [name for name in sys.modules if name.startswith("plugin_pack")]:
    del sys.modules[name]


@pytest.mark.parametrize("file", ["mine.py", "lazy.py"])
def test_installed_plugins_count(site, file):
  before, by_name = code_hash.code_hash(), code_hash.code_hashes()
  path = site / "plugin_pack" / file
  path.write_text(path.read_text() + "\n# changed")
  assert code_hash.code_hash() != before
  after = code_hash.code_hashes()
  changed = [name for name in after if after[name] != by_name[name]]
  assert changed == [f"plugin_pack/{file}"]


def test_of_other_packages_the_version_counts(site):
  before = code_hash.code_hash()
  (site / "other" / "__init__.py").write_text("X = 1\n")
  assert code_hash.code_hash() == before
  (site / "other-1.0.dist-info").rename(site / "other-1.1.dist-info")
  assert code_hash.code_hash() != before


def test_files_of_an_installed_plugin_are_those_of_a_plugin(site):
  assert code_hash.is_plugin_file(str(site / "plugin_pack" / "lazy.py"))
  assert not code_hash.is_plugin_file(str(site / "other" / "__init__.py"))


def test_imported_code_counts(tmp_path, monkeypatch):
  (tmp_path / "helper_of_mine.py").write_text("X = 1\n")
  before = code_hash.code_hash()
  monkeypatch.syspath_prepend(tmp_path)
  import helper_of_mine

  assert helper_of_mine.X
  between = code_hash.code_hash()
  (tmp_path / "helper_of_mine.py").write_text("X = 2\n")
  assert len({before, between, code_hash.code_hash()}) == 3
