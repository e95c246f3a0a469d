"""Tests that an attention of an installed third-party package is listed and trained."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import attention_lab
from tests.cpu import xla_flags

PROJECT = """
[project]
name = "third-party-attention"
version = "1.0"

[project.entry-points."attention_lab.plugins"]
third_party_attention = "third_party_attention"

[build-system]
requires = []
build-backend = "build_backend"
backend-path = ["."]
"""

# Replaces setuptools, so that no version of it has to be installed.
BUILD_BACKEND = """
import tomllib
import zipfile


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
  with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
  lines = []
  for group, entries in project["entry-points"].items():
    lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
  name, version = project["name"], project["version"]
  stem = f"{name.replace('-', '_')}-{version}"
  wheel = f"{stem}-py3-none-any.whl"
  about = {
    "METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n",
    "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "entry_points.txt": "\\n".join(lines),
    "RECORD": "",
  }
  with zipfile.ZipFile(f"{wheel_directory}/{wheel}", "w") as file:
    file.write("third_party_attention.py")
    for about_name, text in about.items():
      file.writestr(f"{stem}.dist-info/{about_name}", text)
  return wheel
"""

MODULE = '''
"""Mean over the past, of a third party."""

import dataclasses

import jax.numpy as jnp

from attention_lab import MultiHead, register_attention, softmax


@register_attention("third_party_mean")
@dataclasses.dataclass(kw_only=True)
class ThirdPartyMean(MultiHead):
  sharpness: float = 0.5  # Inverse temperature of the softmax.

  def attend(self, q, k, v, mask):
    scores = self.sharpness * jnp.einsum("BTNK,BSNK->BNTS", q, k)
    weights = softmax(scores + self.position_bias(mask), mask.dense())
    return jnp.einsum("BNTS,BSNK->BTNK", weights, v)
'''

TINY = """
  --position=none --steps=2 --batch_size=4 --config.model.d_model=16
  --config.model.num_layers=1 --config.model.num_heads=2 --config.log.tensorboard=false
  --config.sample.length=4
""".split()


@pytest.fixture(scope="module")
def python(tmp_path_factory):
  """Return the interpreter of a virtual environment with a third-party package."""
  folder = tmp_path_factory.mktemp("third_party")
  package, environment = folder / "package", folder / "venv"
  package.mkdir()
  (package / "pyproject.toml").write_text(PROJECT)
  (package / "build_backend.py").write_text(BUILD_BACKEND)
  (package / "third_party_attention.py").write_text(MODULE)
  run(sys.executable, "-m", "venv", "--without-pip", environment)
  add_import_paths(environment)
  interpreter = environment / "bin" / "python"
  pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
  offline = ("--no-deps", "--no-build-isolation", "--no-index")
  run(*pip, "--python", interpreter, "install", *offline, package)
  return interpreter


def add_import_paths(environment):
  """Let a virtual environment import this checkout and the packages of this Python."""
  paths = [
    Path(attention_lab.__file__).parents[1],
    sysconfig.get_path("purelib"),
    sysconfig.get_path("platlib"),
  ]
  (site_packages,) = environment.glob("lib/python*/site-packages")
  (site_packages / "import_paths.pth").write_text(
    "".join(f"{path}\n" for path in paths)
  )


def run(*command, cwd=None):
  """Run a command that must succeed; return what it prints."""
  process = subprocess.run(
    command,
    cwd=cwd,
    env=os.environ | {"XLA_FLAGS": xla_flags(1), "COLUMNS": "200"},
    capture_output=True,
    text=True,
    check=False,
  )
  assert process.returncode == 0, process.stderr
  return process.stdout


def test_installed_attention_is_listed_with_its_options(python, tmp_path):
  listed = run(python, "-m", "attention_lab.main", "--mode=list", cwd=tmp_path)
  line, kinds = [line for line in listed.split("\n") if "third_party_mean" in line]
  assert "Mean over the past, of a third party." in line
  assert "sharpness=0.5" in line
  assert "yes" in kinds


def test_installed_attention_is_trained_by_its_name(python, tmp_path):
  run(
    *(python, "-m", "attention_lab.main", "--workdir=run", *TINY),
    "--attention=third_party_mean(sharpness=0.25)",
    "--dataset=copy(sequence_length=8, validation_examples=8)",
    cwd=tmp_path,
  )
  summary = json.loads((tmp_path / "run" / "summary.json").read_text())
  assert summary["attention"] == "third_party_mean(sharpness=0.25)"
  assert summary["steps"] == 2
  assert 0 < summary["validation"]["loss"] < 10
