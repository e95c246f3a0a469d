# ruff: noqa: E402
"""Fixtures and strict settings of all tests: several devices, no implicit broadcasting."""

import gc
import hashlib
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests import cpu

# Under nohup, or in the background of a script, these are ignored from the start.
for number in (signal.SIGINT, signal.SIGHUP):
  if signal.getsignal(number) is signal.SIG_IGN:
    handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    signal.signal(number, handler)
os.environ |= cpu.environment(devices=8)
# All workers of a session share one cache of compiled programs.
SESSION = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
CACHE = Path(tempfile.gettempdir()) / f"attention_lab-tests-{SESSION}"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)

import jax
import pytest
from absl import flags
from absl.testing import flagsaver

from attention_lab import main
from attention_lab.attention.base.attention import attentions
from attention_lab.system import code_hash
from tests import imported  # noqa: F401

jax.config.update("jax_numpy_rank_promotion", "raise")
# Imported modules are never freed, so the garbage collector skips them.
gc.freeze()
gc.set_threshold(100_000)


def pytest_sessionfinish(session):
  """Remove the cache when the last worker is done."""
  if not hasattr(session.config, "workerinput"):
    shutil.rmtree(CACHE, ignore_errors=True)


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
  """Free compiled programs after each file: a process can map only a limited number."""
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
      with flagsaver.flagsaver():  # Each command has its own.
        status = main.main(main.parse(["main.py", *words]))
    except SystemExit as stop:
      status = stop.code
    return status, *capsys.readouterr()

  return run


@pytest.fixture
def mine(tmp_path, monkeypatch):
  """Return a plugin file with an attention `mine`, which imports scale_of_mine.py."""
  monkeypatch.setattr(attentions, "_parts", dict(attentions._parts))
  monkeypatch.setattr(code_hash, "_plugins", set())
  monkeypatch.syspath_prepend(tmp_path)
  (tmp_path / "scale_of_mine.py").write_text("SCALE = 1.0\n")
  path = tmp_path / "mine.py"
  path.write_text(
    "import attention_lab\nimport scale_of_mine\n\n"
    "@attention_lab.register_attention('mine')\n"
    "class Mine(attention_lab.Weighted):\n"
    "  def weights(self, scores, allowed):\n"
    "    scores = scale_of_mine.SCALE * scores\n"
    "    return attention_lab.softmax(scores, allowed)\n"
  )
  yield path
  sys.modules.pop("scale_of_mine", None)


@pytest.fixture
def shakespeare(tmp_path, monkeypatch):
  """Return the folder of a short text with Tiny Shakespeare's 65 distinct characters."""
  text = "".join(chr(ord("!") + i) for i in range(65)) * 60
  (tmp_path / "input.txt").write_text(text)
  digest = hashlib.sha256(text.encode()).hexdigest()
  monkeypatch.setattr("attention_lab.dataset.shakespeare.SHA256", digest)
  return str(tmp_path)
