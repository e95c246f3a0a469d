# ruff: noqa: E402
"""Strict ground for all tests: several devices, no silent broadcasting, all plugins."""

import os
import shutil
import tempfile
from pathlib import Path

# Before jax starts.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"
# What one test has compiled no other one compiles again, in any worker of this session.
SESSION = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
CACHE = Path(tempfile.gettempdir()) / f"attention_lab-tests-{SESSION}"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import jax
import pytest

from attention_lab import plugins

jax.config.update("jax_numpy_rank_promotion", "raise")
# Halves the time of the suite, which compiles far more than it computes. Tests of whole
# runs start processes of their own, which optimise as users' do.
jax.config.update("jax_disable_most_optimizations", True)
plugins.load()


def pytest_sessionfinish(session):
  """Removes the cache when the last worker is done."""
  if not hasattr(session.config, "workerinput"):
    shutil.rmtree(CACHE, ignore_errors=True)


@pytest.fixture
def in_float64():
  """Computes in double precision, so that formulas can be compared exactly."""
  with jax.enable_x64(True):
    yield
