"""Strict ground for all tests: several devices, no silent broadcasting, all plugins."""

import os

# Before jax starts.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import pytest

from attention_lab import plugins

jax.config.update("jax_numpy_rank_promotion", "raise")
# Halves the time of the suite, which compiles far more than it computes. Tests of whole
# runs start processes of their own, which optimise as users' do.
jax.config.update("jax_disable_most_optimizations", True)
plugins.load()


@pytest.fixture
def in_float64():
  """Computes in double precision, so that formulas can be compared exactly."""
  with jax.enable_x64(True):
    yield
