"""A platform that JAX is asked for and does not have is reported in one line."""

import os
import subprocess
import sys

import pytest

from attention_lab.system import platforms
from tests.commands import ROOT

CODE = """
import jax
from attention_lab.system import platforms
try:
  jax.devices()
except Exception as error:
  print(platforms.missing(error))
"""


@pytest.mark.parametrize("platform", ["cuda", "cpuu"])
def test_missing_platform_is_named(platform):
  done = subprocess.run(
    [sys.executable, "-c", CODE],
    capture_output=True,
    text=True,
    env=os.environ | {platforms.VARIABLE: platform},
    cwd=ROOT,
    check=True,
  )
  assert done.stdout.startswith(f"JAX_PLATFORMS={platform}: JAX finds no such platform")


def test_other_errors_are_not_converted(monkeypatch):
  monkeypatch.setenv(platforms.VARIABLE, "cuda")
  assert platforms.missing(RuntimeError("another")) is None
