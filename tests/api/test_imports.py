"""Each name of the API imports only what it needs, and all of them without jax."""

import subprocess
import sys

import attention_lab as al
from tests.commands import ROOT

# Modules that no name but those in the key needs, by name.
NAMES = ("load", "sample", "evaluate", "train", "check")
UNNEEDED = (
  "attention_lab.compare",
  "attention_lab.mode.benchmark",
  "matplotlib",
  "pandas",
)
CODE = f"""
import sys
import attention_lab as al
assert 'jax' not in sys.modules
for name in {NAMES!r}:
  assert callable(getattr(al, name)), name
  loaded = [each for each in {UNNEEDED!r} if each in sys.modules]
  assert not loaded, (name, loaded)
  if name in ('load', 'sample', 'evaluate'):
    assert 'attention_lab.mode.train' not in sys.modules, name
assert callable(al.benchmark) and callable(al.compare)
import attention_lab.benchmark.timing, attention_lab.compare.grid
assert callable(al.benchmark) and callable(al.compare)
"""


def test_each_name_imports_only_what_it_needs():
  ended = subprocess.run(
    [sys.executable, "-c", CODE], check=False, cwd=ROOT, capture_output=True, text=True
  )
  assert (ended.returncode, ended.stderr) == (0, "")


def test_names_are_public():
  assert {*NAMES, "benchmark", "compare"} <= set(al.__all__)
