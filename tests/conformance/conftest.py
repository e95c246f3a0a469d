"""Fixtures of the tests of the laws."""

import jax
import pytest


@pytest.fixture(autouse=True)
def forget_programs_of_a_test():
  """Free compiled programs after each test: a process can map only a limited number."""
  yield
  jax.clear_caches()
