"""Compiled programs are kept in the folder that the user chooses."""

import os
import subprocess
import sys
import warnings

import jax
import pytest

from attention_lab.system import compile_cache
from tests.commands import ROOT, TINY


@pytest.fixture
def set_to(monkeypatch):
  """Return the values set in JAX's configuration; the environment names no folder."""
  values = {}
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
  monkeypatch.setattr(jax.config, "update", values.__setitem__)
  monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
  return values


def test_default_is_the_cache_folder_of_the_user(set_to, tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  compile_cache.enable("")
  folder = tmp_path / "attention_lab" / "compiled"
  assert set_to["jax_compilation_cache_dir"] == str(folder)
  assert folder.is_dir()


def test_named_folder_is_used(set_to, tmp_path):
  compile_cache.enable(str(tmp_path / "mine"))
  assert set_to["jax_compilation_cache_dir"] == str(tmp_path / "mine")


def test_damaged_entries_are_removed_without_a_warning(set_to, tmp_path, recwarn):
  compile_cache.enable(str(tmp_path))
  for name in ("jit_run-1-cache", "jit_run-1-atime", "jit_other-2-cache"):
    (tmp_path / name).write_text("damaged")
  text = "Error reading persistent compilation cache entry for 'jit_run': bad magic"
  warnings.showwarning(UserWarning(text), UserWarning, "file", 1)
  assert [path.name for path in tmp_path.iterdir()] == ["jit_other-2-cache"]
  assert not recwarn.list
  warnings.showwarning(UserWarning("another"), UserWarning, "file", 1)


def test_off_disables_the_cache(set_to):
  compile_cache.enable("off")
  assert not set_to


def test_environment_variable_takes_precedence(set_to, monkeypatch, tmp_path):
  monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
  compile_cache.enable(str(tmp_path / "other"))
  assert not set_to


def test_unusable_folder_is_reported_and_disables_the_cache(set_to, tmp_path, capsys):
  (tmp_path / "file").write_text("")
  compile_cache.enable(str(tmp_path / "file" / "below"))
  assert not set_to
  assert "warning: compiled programs are not kept" in capsys.readouterr().err


def test_second_run_compiles_nothing_and_prints_no_warning(tmp_path, monkeypatch):
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
