"""Machine and code in reports, read from the config.json of runs."""

import pytest

from attention_lab.compare import provenance
from attention_lab.compare.analysis.record import Row, Run
from attention_lab.run import folder as run_folder
from attention_lab.system.files import write_json

OLD = {
  "versions": {"jax": "0.11.2"},
  "git_commit": "abc",
  "devices": ["cpu"],
  "platform": "cpu",
  "dataset_sha256": "123",
}
NEW = OLD | {"started": "2026-11-26T18:31:00+0000", "processor": "Abacus 9000, 2 cores"}


def run(folder, provenance, seed=0):
  folder.mkdir()
  write_json(folder / run_folder.CONFIG, {"config": {}, "provenance": provenance})
  return Run(seed, folder, "finished", summary={"dataset": "copy"})


def test_processor_date_and_changes_are_told(tmp_path):
  found = run(tmp_path / "run", NEW | {"git_commit": "abc+"})
  assert provenance._environment(found) == {
    "date": "2026-11-26",
    "device": "1 × Abacus 9000, 2 cores (cpu)",
    "versions": "jax 0.11.2",
    "commit": "abc with uncommitted changes",
    "dataset copy": "sha256 123",
  }


@pytest.mark.parametrize("more", [{}, {"processor": None, "git_commit": None}])
def test_runs_of_earlier_versions_lack_what_they_did_not_record(tmp_path, more):
  found = provenance._environment(run(tmp_path / "run", OLD | more))
  assert "date" not in found
  assert found["device"] == "1 × cpu (cpu)"
  assert found.get("commit") == (OLD | more)["git_commit"]


def test_a_gpu_is_named_instead_of_the_processor(tmp_path):
  gpu = NEW | {"devices": ["NVIDIA H100"] * 2, "platform": "gpu"}
  found = provenance._environment(run(tmp_path / "run", gpu))
  assert found["device"] == "2 × NVIDIA H100 (gpu)"


def test_different_texts_are_listed_once_each(tmp_path):
  later = NEW | {"started": "2026-11-27T01:00:00+0000"}
  runs = [run(tmp_path / f"{i}", each, i) for i, each in enumerate([NEW, NEW, later])]
  found = provenance.provenance([Row("standard", {}, "", runs)])
  assert found["date"] == "2026-11-26; 2026-11-27"
  assert found["commit"] == "abc"
