"""Releases that are known to compute wrongly are rejected before anything runs."""

import platform
import subprocess
import sys

import jax
import pytest

from attention_lab.errors import UserError
from attention_lab.system import versions
from tests.commands import ROOT


def install(monkeypatch, version):
  monkeypatch.setattr(versions, "installed", lambda package: version)


@pytest.mark.parametrize("version", versions.BAD_JAXLIB)
def test_bad_release_is_rejected_with_its_defect_and_the_remedy(monkeypatch, version):
  install(monkeypatch, version)
  with pytest.raises(UserError) as error:
    versions.refuse_known_bad()
  assert str(error.value) == (
    f"jaxlib {version} {versions.BAD_JAXLIB[version]}; "
    f"type: pip install -r requirements.txt"
  )


@pytest.mark.parametrize("version", ["0.9.0.1", "0.11.2", "0.12.0.1"])
def test_good_release_is_accepted(monkeypatch, version):
  install(monkeypatch, version)
  versions.refuse_known_bad()


def test_missing_jaxlib_is_reported_with_the_remedy(monkeypatch):
  install(monkeypatch, None)
  with pytest.raises(UserError, match="jaxlib is not installed; type: pip install"):
    versions.refuse_known_bad()


def test_installed_release_is_accepted():
  versions.refuse_known_bad()


def test_only_a_release_with_false_warnings_is_silenced(monkeypatch):
  install(monkeypatch, "0.12.0.1")
  assert not versions.quieting()
  install(monkeypatch, versions.FALSE_WARNINGS[0])
  assert versions.quieting() == {"TF_CPP_MIN_LOG_LEVEL": "3"}


def test_missing_package_has_no_version():
  assert versions.installed("attention-lab-no-such-package") is None


def test_a_runs_provenance_names_python_and_every_package():
  found = versions.all_versions()
  assert set(found) == {"python", *versions.PACKAGES}
  assert found["python"] == platform.python_version()
  assert found["jax"] == jax.__version__


def test_check_imports_no_jax():
  code = (
    "import sys; from attention_lab.system import versions; versions.refuse_known_bad(); "
    "sys.exit('jax' in sys.modules)"
  )
  assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_python_without_assertions_is_refused():
  code = "from attention_lab.system import versions; versions.refuse_known_bad()"
  done = subprocess.run(
    [sys.executable, "-O", "-c", code],
    capture_output=True,
    text=True,
    cwd=ROOT,
    check=False,
  )
  assert "UserError: python -O (PYTHONOPTIMIZE) removes assertions" in done.stderr
