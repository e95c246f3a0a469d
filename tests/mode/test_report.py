"""--mode=report writes one report of several folders, and changes none of them."""

import json
import os
from pathlib import Path

import pytest

from attention_lab.compare import extras, launch
from attention_lab.compare.report import page
from tests.commands import TINY, assert_refused
from tests.compare import folders, in_process

pytest.importorskip("scipy")

FILES = ["report.html", "report.md", "results.csv", "results.jsonl", "results.tex"]
ROWS = {"standard": {}, "linear": {"attention": "linear"}}


@pytest.fixture(autouse=True)
def quick_page(tmp_path, monkeypatch):
  """Work in an empty folder, and draw no figures."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(page, "report", lambda comparison: comparison.command)


@pytest.fixture
def pair(tmp_path):
  """Return the folders of a comparison and of a run, relative to the current one."""
  folders.comparison(tmp_path / "a", ROWS, [0, 1])
  folders.run(tmp_path / "b", 1.2, seed=2, attention="linear")
  return "a", "b"


def content(folder):
  """Return the bytes and times of all files of a folder."""
  return {
    path: (path.read_bytes(), path.stat().st_mtime_ns)
    for path in sorted(Path(folder).rglob("*"))
    if path.is_file()
  }


def written(out):
  """Return the folder that the last line names."""
  (line,) = [x for x in out.splitlines() if x.startswith("Written to ")]
  return Path(line.removeprefix("Written to ").partition(":")[0])


def test_report_is_written_anew_by_the_same_command_and_changes_no_source(
  command, pair
):
  before = content("a") | content("b")
  status, out, err = command("--mode=report", *pair)
  assert (status, err) == (0, "")
  target = written(out)
  assert target.parent == Path("runs")
  assert sorted(os.listdir(target)) == sorted([*FILES, "joined.json"])
  assert out.startswith("standard: the baseline.\nlinear: ")
  first = {name: (target / name).read_bytes() for name in FILES}
  again = command("--mode=report", *pair)
  assert written(again[1]) == target
  assert {name: (target / name).read_bytes() for name in FILES} == first
  assert content("a") | content("b") == before
  records = (target / "results.jsonl").read_text().splitlines()
  rows = [json.loads(record)["row"] for record in records]
  assert rows == ["standard"] * 2 + ["linear"] * 3
  assert written(command("--mode=report", *pair[::-1])[1]) != target


def test_workdir_names_the_folder_and_may_be_used_again(command, pair):
  for words in (pair, pair[:1]):
    status, out, _ = command("--mode=report", "--workdir=paper", *words)
    assert (status, written(out)) == (0, Path("paper"))
  assert json.loads(Path("paper/joined.json").read_text())["folders"] == ["a"]


@pytest.mark.parametrize("target", ["a", "a/cells", "b/new"])
def test_report_inside_a_source_is_refused(command, pair, target):
  answer = f"--workdir={target} is in {target[0]}, which the report reads"
  assert_refused(command("--mode=report", f"--workdir={target}", *pair), answer)


@pytest.mark.parametrize("name", ["report.md", "config.json", "compare.json"])
def test_report_is_not_written_over_something_else(command, pair, name):
  os.mkdir("other")
  Path("other", name).write_text("mine")
  answer = f"--workdir=other holds {name}, which --mode=report did not write"
  assert_refused(command("--mode=report", "--workdir=other", *pair), answer)
  assert Path("other", name).read_text() == "mine"


def test_report_of_a_report_is_refused(command, pair):
  command("--mode=report", "--workdir=paper", *pair)
  answer = "paper holds a report, not a run or a comparison."
  assert_refused(command("--mode=report", "a", "paper"), answer)


@pytest.mark.parametrize(
  ("words", "answer"),
  [
    (
      "",
      "Name the folders of runs or comparisons to join: --mode=report runs/a runs/b",
    ),
    ("a ./a", "a is named twice."),
    ("a b x", "There is no folder x."),
    ("a --attention=linear", "--attention has no effect with --mode=report; omit it."),
    ("a --config.train.learning_rate=1", "--config.train.learning_rate has no effect"),
    ("a --plugin=mine.py", "--plugin has no effect with --mode=report; omit it."),
    ("a --config.train.rate=1", "There is no setting --config.train.rate."),
    ("a --config.compare.folders=b", "--config.compare.folders has no effect"),
    ("a --config.compare.margin=x", "--config.compare.margin=x: give a difference"),
    ("a --dry_run", "--dry_run is for --mode=train and --mode=compare"),
    ("a --workdir=", "--workdir='' is not a path"),
  ],
)
def test_mistake_gives_one_line_and_writes_nothing(command, pair, words, answer):
  assert_refused(command("--mode=report", *words.split()), answer)
  assert not os.path.exists("runs")


def test_folders_without_the_mode_are_refused(command, pair):
  answer = "'a' is no flag; flags are written --name=value."
  assert_refused(command("--mode=list", "a"), answer)


def test_margin_and_stale_have_an_effect(command, pair, tmp_path):
  code = {"attention_lab/update.py": "6"}
  folders.run(tmp_path / "c", 1.3, seed=3, code=code)
  assert_refused(command("--mode=report", "a", "c"), "different code")
  words = ("--config.compare.stale=keep", "--config.compare.margin=0.25")
  status, out, _ = command("--mode=report", "a", "c", *words)
  text = (written(out) / "report.md").read_text()
  assert status == 0
  assert "the margin, 0.25 in the metric" in text
  assert "The runs of several folders were joined." in text
  assert "results of standard: some of its runs had other code" in text


def test_margin_of_the_comparison_is_kept(command, tmp_path):
  folders.comparison(tmp_path / "c", ROWS, [0, 1], margin="0.125")
  _, out, _ = command("--mode=report", "c")
  text = (written(out) / "report.md").read_text()
  assert "the margin, 0.125 in the metric" in text
  assert "The runs of several folders were joined." not in text


def test_missing_packages_are_named(command, pair, monkeypatch):
  monkeypatch.setattr(extras, "PACKAGES", ("no_such_package",))
  assert_refused(command("--mode=report", *pair), "--mode=report needs no_such_package")


def test_trained_runs_give_the_report_of_their_comparison(
  monkeypatch, tmp_path, command
):
  monkeypatch.undo()
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(launch, "run_locally", in_process.launcher([2]))
  tiny = [*TINY, "--steps=2", "--seeds=2"]
  options = ["--config.compare.vmap_seeds=always", "--config.compare.cost_lengths=()"]
  words = ["--mode=compare", *tiny, "--attention=standard,cosine", *options]
  assert command(*words, "--match=none", "--workdir=whole")[0] == 0
  for name in ("standard", "cosine"):
    assert command(*tiny, f"--attention={name}", f"--workdir={name}")[0] == 0
  single = ["standard/seed0", "cosine", "standard/seed1"]
  for target, places in (("one", single), ("two", ["whole"])):
    assert command("--mode=report", f"--workdir={target}", *places)[0] == 0
    assert numbers(target) == numbers("whole")
    assert "<svg" in Path(target, "report.html").read_text()


def numbers(folder):
  """Return the lines of results.jsonl without folders and measured times."""
  lines = Path(folder, "results.jsonl").read_text().splitlines()
  found = [json.loads(line) for line in lines]
  for line in found:
    del line["folder"], line["metrics"]["seconds"]
  return found
