"""Runs and comparisons that commit 42874cf wrote resume, evaluate and report.

That commit is the last one before the modules moved and settings were renamed. The
stored folders were written on one CPU device; tests/stored/continued holds what the same
commit recorded when it resumed tests/stored/run up to step 8.
"""

import json
import shutil

import jax
import pytest

from attention_lab.mode import evaluate, train
from tests.commands import ROOT, records

STORED = ROOT / "tests" / "stored"
CLOSE = 1e-4  # Relative; CPUs differ in rounding.


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
  monkeypatch.setattr(train, "all_devices", lambda: jax.local_devices()[:1])
  monkeypatch.setattr(evaluate, "local_devices", lambda: jax.local_devices()[:1])


@pytest.fixture
def stored(tmp_path):
  """Return a copy of a stored folder."""

  def copy(name):
    shutil.copytree(STORED / name, tmp_path / name)
    return tmp_path / name

  return copy


def same(found, expected):
  """Assert that two JSON values agree up to rounding."""
  assert type(found) is type(expected)
  if isinstance(found, dict):
    assert found.keys() == expected.keys()
    for key in found:
      same(found[key], expected[key])
  elif isinstance(found, float):
    assert found == pytest.approx(expected, rel=CLOSE)


def test_a_stored_run_resumes_as_the_commit_before_resumed_it(stored, command):
  folder = stored("run")
  status, out, _ = command(f"--workdir={folder}", "--steps=8")
  assert status == 0
  assert f"Resuming at step 4 in {folder}" in out
  found, expected = records(folder), records(STORED / "continued")
  assert len(found) == len(expected)
  for one, other in zip(found, expected, strict=True):
    same(one, other)


def test_a_stored_run_evaluates_as_before(stored, command):
  folder = stored("run")
  assert command(f"--workdir={folder}", "--steps=8")[0] == 0
  assert command(f"--workdir={folder}", "--mode=evaluate")[0] == 0
  found, expected = (
    json.loads((each / "evaluation.json").read_text())
    for each in (folder, STORED / "continued")
  )
  assert found.pop("checkpoint").startswith("000000008-")
  expected.pop("checkpoint")
  same(found, expected)


def test_a_stored_translation_run_resumes_and_translates(stored, command):
  folder = stored("pairs")
  status, out, _ = command(f"--workdir={folder}", "--steps=6")
  assert status == 0
  assert "Resuming at step 4" in out
  status, out, _ = command(f"--workdir={folder}", "--mode=sample", "--prompt=abc")
  assert status == 0
  assert out.strip()


def test_a_stored_comparison_is_reported_without_training(stored, command):
  folder = stored("comparison")
  before = {path: path.read_bytes() for path in folder.rglob("*.json*")}
  words = [
    *("--mode=compare", f"--workdir={folder}", "--attention=standard,gated_linear"),
    "--dataset=copy(sequence_length=8,validation_examples=8)",
    *("--seeds=2", "--steps=4", "--batch_size=8", "--match=none"),
    *("--config.model.d_model=8", "--config.model.num_heads=2"),
    *("--config.model.num_layers=2", "--config.train.schedule=constant"),
    *("--config.evaluation.every=2", "--config.compare.cost_lengths=()"),
  ]
  status, _, err = command(*words)  # Its seeds share the order of the examples.
  assert status == 2
  assert "Type --config.train.data_order=shared" in err
  words.append("--config.train.data_order=shared")
  status, _, err = command(*words)  # Its rows had rope, whatever their attention.
  assert status == 2
  assert "Type --position=rope" in err
  words.append("--position=rope")
  status, out, err = command(*words)
  assert (status, err) == (0, "")
  assert "validation loss higher by 0.0074 nats" in out
  assert {path: path.read_bytes() for path in before} == before
  rows = [
    json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()
  ]
  assert [row["status"] for row in rows] == ["finished"] * 4
  assert rows[0]["metrics"]["loss"] == pytest.approx(2.1859192848205566)
  assert (folder / "report.html").exists()
