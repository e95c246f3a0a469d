"""Two trained runs that the tests of the API share."""

import contextlib
import io
import tempfile
from types import SimpleNamespace

import pytest

import attention_lab as al
from attention_lab.config import get_config, set_value
from attention_lab.mode import train
from attention_lab.training import preflight
from tests.api.cells import MINE, RUN, TINY, define
from tests.api.state import found_state


@pytest.fixture(scope="package")
def trained(tmp_path_factory):
  """Return a run of a class that a cell defines, and what the call has left."""
  folder, out = tmp_path_factory.mktemp("empty"), io.StringIO()
  cls = define(MINE, SCALE=1.0)
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(folder)
    patch.setattr(tempfile, "tempdir", str(folder))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
      before = found_state()
      result = al.train(cls, **RUN)
      after = found_state()
  return SimpleNamespace(
    **{"result": result, "before": before, "after": after, "cls": cls},
    **{"printed": out.getvalue(), "folder": folder},
  )


@pytest.fixture(scope="package")
def run(tmp_path_factory):
  """Return the folder of a run by the mode, with the same formula and two checkpoints."""
  folder, config = tmp_path_factory.mktemp("run"), get_config()
  for word, value in {**RUN, "checkpoint__every": 2}.items():
    set_value(config, word.replace("__", "."), value)
  with contextlib.redirect_stdout(io.StringIO()) as out:
    assert train.run(config, str(folder)) == 0
  assert "validation: loss" in out.getvalue()
  return folder


@pytest.fixture(scope="package")
def call(tmp_path_factory):
  """Return a comparison of a name and a class, and what the call has left."""
  mine = define(MINE, stored=False)
  folder, out = tmp_path_factory.mktemp("empty"), io.StringIO()
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(folder)
    # The comparison would run them in spite of skip_checks.
    patch.setattr(preflight, "_check_leaks", lambda *words: ("passed", True))
    patch.setattr(tempfile, "tempdir", str(folder))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
      before = found_state()
      # The seeds of a row share one program, which is compiled once.
      report = al.compare(
        *("standard", mine), seeds=3, compare__vmap_seeds="always", **TINY
      )
      after = found_state()
  return SimpleNamespace(
    report=report, before=before, after=after, printed=out.getvalue(), folder=folder
  )
