# ruff: noqa: E402
"""Strict ground for all tests: several devices, no silent broadcasting, all plugins."""

import gc
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from tests import cpu

os.environ |= cpu.environment(devices=8)
# What one test has compiled no other one compiles again, in any worker of this session.
SESSION = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
CACHE = Path(tempfile.gettempdir()) / f"attention_lab-tests-{SESSION}"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)

import jax
import pytest
from absl import flags
from absl.testing import flagsaver

from attention_lab import main
from tests import imported  # noqa: F401

jax.config.update("jax_numpy_rank_promotion", "raise")
# Modules and what they hold stay: the collector need not look at them again and again.
gc.freeze()
gc.set_threshold(100_000)


def pytest_sessionfinish(session):
  """Remove the cache when the last worker is done."""
  if not hasattr(session.config, "workerinput"):
    shutil.rmtree(CACHE, ignore_errors=True)


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
  """Let compiled programs go with their file: a process can only map so many."""
  yield
  jax.clear_caches()


@pytest.fixture
def in_float64():
  """Compute in double precision, so that formulas can be compared exactly."""
  with jax.enable_x64(True):
    yield


@pytest.fixture
def own_flags():
  """Forget the flags that a test parsed."""
  with flagsaver.flagsaver():
    yield
  flags.FLAGS.unparse_flags()


@pytest.fixture
def command(capsys, own_flags):
  """Run a command line in this process: exit status, output, errors."""

  def run(*words):
    try:
      status = main.main(main.parse(["main.py", *words]))
    except SystemExit as stop:
      status = stop.code
    return status, *capsys.readouterr()

  return run


@pytest.fixture
def shakespeare(tmp_path, monkeypatch):
  """The folder of a stand-in with Tiny Shakespeare's vocabulary of 65 characters."""
  text = "".join(chr(ord("!") + i) for i in range(65)) * 60
  (tmp_path / "input.txt").write_text(text)
  digest = hashlib.sha256(text.encode()).hexdigest()
  monkeypatch.setattr("attention_lab.dataset.shakespeare.SHA256", digest)
  return str(tmp_path)
