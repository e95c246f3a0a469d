"""What is compiled is kept, where the user wants it."""

import os
import subprocess
import sys

import jax
import pytest

from attention_lab.system import compile_cache
from tests.commands import ROOT, TINY


@pytest.fixture
def set_to(monkeypatch):
  """Values that JAX's configuration is set to, without a folder in the environment."""
  values = {}
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
  monkeypatch.setattr(jax.config, "update", values.__setitem__)
  return values


def test_the_users_cache_folder_is_the_default(set_to, tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  compile_cache.enable("")
  folder = tmp_path / "attention_lab" / "compiled"
  assert set_to["jax_compilation_cache_dir"] == str(folder)
  assert folder.is_dir()


def test_a_folder_can_be_named(set_to, tmp_path):
  compile_cache.enable(str(tmp_path / "mine"))
  assert set_to["jax_compilation_cache_dir"] == str(tmp_path / "mine")


def test_it_can_be_turned_off(set_to):
  compile_cache.enable("off")
  assert not set_to


def test_the_variable_rules(set_to, monkeypatch, tmp_path):
  monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
  compile_cache.enable(str(tmp_path / "other"))
  assert not set_to


def test_a_folder_that_cannot_be_is_told_and_done_without(set_to, tmp_path, capsys):
  (tmp_path / "file").write_text("")
  compile_cache.enable(str(tmp_path / "file" / "below"))
  assert not set_to
  assert "warning: compiled programs are not kept" in capsys.readouterr().err


def test_the_second_start_compiles_nothing_and_says_nothing(tmp_path, monkeypatch):
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
  monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
  monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS")  # As users' programs are.
  cache = tmp_path / "cache"
  entries = []
  for name in ("a", "b"):
    flags = (f"--config.compile_cache={cache}", f"--workdir={tmp_path / name}")
    words = [sys.executable, "-m", "attention_lab.main", *TINY, "--steps=2", *flags]
    given = {"cwd": ROOT, "env": os.environ | {"XLA_FLAGS": ""}}
    ended = subprocess.run(words, check=True, stderr=subprocess.PIPE, **given)
    assert ended.stderr == b""
    entries.append({path.name for path in cache.glob("*-cache")})
  assert entries[0]
  assert entries[1] == entries[0]
