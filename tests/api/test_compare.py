"""attention_lab.compare runs comparisons in this process, of classes without a file."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import attention_lab as al
from attention_lab.api.comparing import configuration
from attention_lab.api.process import jax_settings_kept
from attention_lab.attention.base.attention import attentions
from attention_lab.compare.report import files
from attention_lab.errors import UserError
from attention_lab.mode import train
from attention_lab.system import versions
from attention_lab.training import preflight
from tests.api.cells import LEAKY, MINE, TINY, define
from tests.api.state import found_state
from tests.commands import ROOT
from tests.compare import in_process


@pytest.fixture
def untrained(monkeypatch):
  """Write what a run leaves, without training; the attention `broken` fails."""
  in_process.without_training(monkeypatch)

  def run(config, workdir):
    print("Training")
    if config.attention == "broken":
      raise RuntimeError("no such luck")
    return in_process.write_run(config, workdir)

  monkeypatch.setattr(train, "run", run)


def test_a_name_and_a_class_of_a_cell_are_compared(call):
  standard, mine = call.report.rows
  assert [row.name for row in call.report.rows] == ["standard", "my_attention"]
  assert all(row.seeds == (0, 1, 2) for row in call.report.rows)
  losses = [row.estimates["loss"].by_seed for row in (standard, mine)]
  assert losses[0] != losses[1]
  assert mine.baseline == "standard"
  assert mine.differences["loss"].mean == pytest.approx(
    mine.estimates["loss"].mean - standard.estimates["loss"].mean
  )
  assert call.report.failures == {}
  assert call.report["my_attention"] is mine
  with pytest.raises(UserError, match="Did you mean 'my_attention'"):
    call.report["my_atention"]


def test_nothing_is_printed_nor_written(call):
  assert call.printed == ""
  assert list(call.folder.iterdir()) == []


def test_the_state_of_the_process_is_left_as_it_was(call):
  assert call.after == call.before


@pytest.mark.parametrize("quiet", [True, False])
def test_settings_of_jax_are_restored(tmp_path, monkeypatch, quiet):
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
  monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
  monkeypatch.setattr(
    versions, "quieting", lambda: {} if quiet else {"TF_CPP_MIN_LOG_LEVEL": "3"}
  )
  before = dict(jax.config.values)
  with jax_settings_kept(str(tmp_path)):
    jax.config.update("jax_numpy_rank_promotion", "allow")
    jax.jit(lambda x: 3 * x + 7)(np.ones(5))
  assert bool(list(tmp_path.iterdir())) == quiet  # A program is kept.
  assert dict(jax.config.values) == before


def test_numbers_equal_those_of_a_run(call, run):
  summary = json.loads((run / "summary.json").read_text())
  loss = call.report["standard"].estimates["loss"].by_seed[0]
  assert loss == pytest.approx(summary["validation"]["loss"], rel=1e-6)


def test_results_are_text_page_and_files(call, tmp_path):
  report = call.report
  assert str(report).splitlines() == list(report.sentences)
  assert report.sentences[1].startswith("my_attention: ")
  assert "attention_lab.compare('standard', MyAttention, seeds=3" in report.markdown
  assert "<svg" in report.html
  report.save(tmp_path / "report")
  written = {path.name: path.read_text() for path in (tmp_path / "report").iterdir()}
  assert set(written) == set(files.NAMES)
  assert written["report.md"] == report.markdown
  assert len(written["results.jsonl"].splitlines()) == 6


def test_a_figure_shows_losses_and_differences(call):
  losses, differences = call.report.plot().axes
  named = losses.get_legend().get_texts()
  assert [text.get_text() for text in named] == ["standard", "my_attention"]
  assert [x.get_text() for x in differences.get_yticklabels()] == ["my_attention"]
  row = call.report.rows[1]
  scale = 100 if row.primary == "accuracy" else 1
  point = differences.lines[0].get_xdata()[0]
  assert point == pytest.approx(row.differences[row.primary].mean * scale)


def test_a_notebook_shows_sentences_and_a_table(call):
  shown = call.report._repr_html_()
  assert shown.count("<li>") == 2
  assert shown.count("<tr>") == 3
  assert "<td>3 of 3</td>" in shown
  assert "<svg" not in shown


def test_pandas_gets_a_line_per_run(call, monkeypatch):
  monkeypatch.setitem(sys.modules, "pandas", None)  # Its import fails.
  with pytest.raises(UserError, match=r"needs pandas: pip install pandas, or"):
    call.report.to_pandas()
  stub = SimpleNamespace(read_csv=lambda file: file.read().splitlines())
  monkeypatch.setitem(sys.modules, "pandas", stub)
  assert len(call.report.to_pandas()) == 1 + 6


@pytest.mark.parametrize(
  ("names", "settings", "message"),
  [
    (["standard", "standrad"], {}, "Did you mean 'standard'"),
    (["standard"], {}, "There is nothing to compare. Name two attentions"),
    ([], {}, "There is nothing to compare"),
    (["standard", "standard"], {}, "attention lists standard twice"),
    (["standard", "linear"], {"stepz": 3}, "no setting 'stepz'. Did you mean 'steps'"),
    (["standard", "linear"], {"d_model": 3}, "Did you mean 'model__d_model'"),
    (["standard", "linear"], {"steps": "many"}, "expected int"),
    (["standard", "linear"], {"steps": [1, 2]}, "steps=[1, 2]: give one value"),
    (["standard", "linear"], {"position": []}, "position=[]: give one value"),
    (["standard", "linear"], {"launcher": "slurm"}, "has no effect here"),
    (["standard", "linear"], {"compare__slurm__gpus": 1}, "has no effect here"),
    (["standard", "linear"], {"attention": "linear"}, "name the attentions first"),
    (["standard", int], {}, "int: it must be a subclass of Attention"),
    (["standard", 3], {}, "names and subclasses of attention_lab.Attention, not 3"),
  ],
)
def test_mistakes_are_told_in_one_line(names, settings, message, tmp_path):
  known = list(attentions)
  with pytest.raises(UserError) as error:
    al.compare(*names, workdir=tmp_path / "work", **settings)
  assert message in str(error.value)
  assert "\n" not in str(error.value)
  assert not (tmp_path / "work").exists()
  assert list(attentions) == known


def test_another_thread_is_refused():
  errors = []

  def run():
    try:
      al.compare("standard", "linear")
    except UserError as error:
      errors.append(str(error))

  thread = threading.Thread(target=run)
  thread.start()
  thread.join()
  assert errors == ["compare handles signals, so call it from the main thread."]


def test_a_class_that_leaks_is_refused_until_it_is_corrected(monkeypatch, tmp_path):
  """The verdict on a class is not that on an earlier one of its name."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  settings = TINY | {"skip_checks": False}
  with pytest.raises(UserError, match="'leaky' attends to future tokens"):
    al.compare(define(LEAKY, "Leaky"), "standard", **settings)
  corrected = define(LEAKY.replace("allowed | True", "allowed"), "Leaky")
  with attentions.registered(corrected) as name:
    config = configuration([name, "standard"], settings)
    checked = preflight.check(config, jax.local_devices()[:1])
  assert (name, checked.leak_check) == ("leaky", "passed")


def test_a_changed_class_alone_is_trained_anew(tmp_path, untrained):
  work = tmp_path / "work"

  def compare(source, **names):
    report = al.compare("standard", define(source, **names), workdir=work, **TINY)
    times = {
      row: os.stat(work / "cells" / row / "seed0" / "summary.json").st_mtime_ns
      for row in ("standard", "my_attention")
    }
    return report.messages, times

  messages, first = compare(MINE)
  assert messages == ()
  assert set(files.NAMES) <= {path.name for path in work.iterdir()}
  messages, equal = compare("\n# A comment.\n" + MINE)
  assert (messages, equal) == ((), first)
  last = first
  for source, names in (
    (MINE.replace("SCALE * scores", "SCALE + scores"), {}),
    (MINE, {"SCALE": 3.0}),
  ):
    (message,), changed = compare(source, **names)
    assert message.startswith(
      "my_attention: code changed (__main__of_tests.MyAttention): 1 run starts anew"
    )
    assert changed["standard"] == first["standard"]
    assert changed["my_attention"] != last["my_attention"]
    last = changed


def test_a_failed_run_leaves_the_others(tmp_path, untrained, capfd):
  broken = define(MINE.replace("MyAttention", "Broken"), "Broken")
  report = al.compare("standard", broken, "linear", workdir=tmp_path / "work", **TINY)
  assert [len(row.seeds) for row in report.rows] == [1, 0, 1]
  ((name, (failure,)),) = report.failures.items()
  assert (name, failure.seed) == ("broken", 0)
  assert failure.error.endswith("RuntimeError: no such luck")
  assert "broken: no run has finished; 1 failed." in str(report)
  log = (tmp_path / "work" / "cells" / "broken" / "seed0.log").read_text()
  assert re.match(r"\$ .*--attention=broken.*\nTraining\nTraceback", log)
  assert capfd.readouterr() == ("", "")


def test_an_interrupted_comparison_continues(tmp_path, monkeypatch, untrained):
  """Of the checkpoint that a signal saves, there is a test of `train`."""
  work, finish, left = tmp_path / "work", train.run, [signal.SIGINT]
  monkeypatch.setattr(
    train, "run", lambda *words: 128 + left.pop() if left else finish(*words)
  )
  mine, before = define(MINE), found_state()
  with pytest.raises(KeyboardInterrupt):
    al.compare(mine, "linear", workdir=work, **TINY)
  assert left == []
  assert found_state() == before
  assert (work / "report.html").exists()
  report = al.compare(mine, "linear", workdir=work, **TINY)
  assert [len(row.seeds) for row in report.rows] == [1, 1]


def test_values_in_a_list_make_a_grid_and_tuning_chooses(tmp_path, untrained):
  report = al.compare(
    *("standard", "linear"),
    tune="train.learning_rate=1e-3,3e-2",
    position=["rope", "none"],
    **TINY,
  )
  assert [row.name for row in report.rows] == [
    "standard, rope",
    "standard, none",
    "linear, rope",
    "linear, none",
  ]
  assert report.messages[0].startswith("Tuning first: 16 runs")
  assert sum(message.startswith("Tuned ") for message in report.messages) == 4
  assert report.comparison.rows[1].chosen == {"train.learning_rate": 0.03}


def test_the_function_is_found_without_jax_and_is_a_package_too():
  code = (
    "import sys, attention_lab; assert callable(attention_lab.compare); "
    "assert 'compare' in attention_lab.__all__; assert 'jax' not in sys.modules; "
    "import attention_lab.compare.grid as grid; assert grid.alternatives('a,b')"
  )
  ended = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT)
  assert ended.returncode == 0
