"""--mode=compare runs, resumes after a kill, and reports failures."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from attention_lab.compare import extras, launch
from attention_lab.training import forecast
from tests.commands import TINY, assert_refused, run, start
from tests.compare import in_process

BROKEN = """
import dataclasses, sys
from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.standard import Standard

@register_attention("broken")
@dataclasses.dataclass(kw_only=True)
class Broken(Standard):
  def __call__(self, query, context, mask):
    if query.shape[1] == 8 and "cells" in str(sys.argv):  # In a run of the comparison.
      raise RuntimeError("no such luck")
    return super().__call__(query, context, mask)
"""
COMPARE = ["--mode=compare", *TINY, "--config.compare.cost_lengths=()"]


def test_killed_comparison_is_resumed_and_failure_is_reported(tmp_path):
  plugin, work = tmp_path / "broken.py", tmp_path / "work"
  plugin.write_text(BROKEN)
  words = [*COMPARE, f"--plugin={plugin}", "--steps=4"]
  words += ["--attention=standard,broken", "--seed=1"]
  cell = work / "cells" / "standard" / "seed1"
  words.append(f"--workdir={work}")
  killed = start(*words)
  while not (cell / "config.json").exists():
    assert killed.poll() is None, killed.communicate()
    time.sleep(0.05)
  killed.send_signal(signal.SIGKILL)
  killed.communicate()  # The run that it started continues, and is awaited.

  status, _, err = run(*words)
  assert status == 1, err
  location = f"The plugin {tmp_path / 'broken.py'}, line 11, in __call__"
  assert f"error: broken, seed 1: {location}: RuntimeError: no such luck" in err
  runs = [json.loads(x) for x in (work / "results.jsonl").read_text().splitlines()]
  assert [(x["row"], x["seed"], x["status"]) for x in runs] == [
    ("standard", 1, "finished"),
    ("broken", 1, "failed"),
  ]
  assert {"loss", "training_flops"} <= set(runs[0]["metrics"])
  assert "no such luck" in (work / "report.md").read_text()
  assert len((work / "results.csv").read_text().splitlines()) == 1 + 2
  assert r"\toprule" in (work / "results.tex").read_text()
  assert "<svg" in (work / "report.html").read_text()
  content = json.loads((cell / "config.json").read_text())["config"]
  assert (content["seed"], content["seeds"], content["compare"]["grid"]) == (1, 1, [])


def test_dry_run_trains_nothing(tmp_path, command, monkeypatch):
  monkeypatch.setenv("COLUMNS", "200")
  monkeypatch.setattr(forecast, "STEPS_SECONDS", 0.01)
  work = tmp_path / "work"
  status, out, err = command(
    *COMPARE, "--attention=standard,selective", f"--workdir={work}", "--dry_run"
  )
  assert (status, err) == (0, "")
  assert "selective, d_ff 28: 864 parameters" in out
  assert "d_ff 28 instead of 32: 864 parameters; standard has 864" in out
  assert "3 rows × 1 seed = 3 runs of" in out
  measured = r"per run \(start .* s, compilation .* s, step .* ms, evaluation .* s\)"
  assert len(re.findall(measured, out)) == 3
  assert not os.path.exists(work)


@pytest.mark.parametrize(
  ("words", "answer"),
  [
    (["--attention=standard"], "There is nothing to compare."),
    (["--attention=standard,linaer"], "Did you mean 'linear'?"),
    (
      ["--attention=standard,linformer"],
      "Row 'linformer': The attention 'linformer' is",
    ),
    (["--attention=standard,linformer"], "type --architecture=encoder."),
  ],
)
def test_invalid_comparison_is_rejected_in_one_line(tmp_path, words, answer, command):
  work = tmp_path / "work"
  status, _, err = command(*COMPARE, *words, f"--workdir={work}")
  assert status == 2
  assert answer in err
  assert err.count("\n") == 1
  assert not Path(work).exists()


def test_an_edit_retrains_the_rows_that_use_it_and_no_other(
  tmp_path, mine, command, monkeypatch
):
  in_process.without_training(monkeypatch)
  monkeypatch.setattr(launch, "run_locally", in_process.launcher([3]))
  work = tmp_path / "work"
  words = [*COMPARE, f"--plugin={mine}", "--attention=standard,mine", "--match=none"]
  words += ["--steps=2", f"--workdir={work}", "--skip_checks"]
  status, out, _ = command(*words)
  assert status == 0
  assert "cell 1 of 2: standard, seed 0: started" in out
  of_standard, of_mine = (
    work / "cells" / row / "seed0" / "config.json" for row in ("standard", "mine")
  )
  before = of_standard.read_bytes(), of_mine.read_bytes()

  helper = tmp_path / "scale_of_mine.py"
  helper.write_text("SCALE = 0.0\n")
  assert_refused(
    command(*words, "--config.compare.stale=refuse"),
    "mine: code changed (scale_of_mine.py)",
  )
  status, out, _ = command(*words)
  assert status == 0
  assert "mine: code changed (scale_of_mine.py): 1 run starts anew" in out
  assert "standard, seed 0" not in out
  assert of_standard.read_bytes() == before[0]
  assert of_mine.read_bytes() != before[1]
  aside = work / "replaced" / "mine" / "seed0-1" / "config.json"
  assert aside.read_bytes() == before[1]


def test_a_missing_package_is_told_before_anything_trains(
  tmp_path, command, monkeypatch
):
  monkeypatch.setattr(extras, "PACKAGES", ("scipy", "no_such_package"))
  words = ["--attention=standard,linear", f"--workdir={tmp_path / 'work'}"]
  result = command(*COMPARE, *words)
  assert_refused(result, "needs no_such_package: pip install no_such_package, or")


def test_the_folder_of_a_single_run_is_refused(tmp_path, command):
  (tmp_path / "config.json").write_text('{"config": {}}')
  result = command(*COMPARE, "--attention=standard,linear", f"--workdir={tmp_path}")
  assert_refused(result, "holds a single run, not a comparison. Name another folder")
