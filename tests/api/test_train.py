"""attention_lab.train trains in this process, a class of a cell as well as a name."""

import json
import os
import signal
import threading

import numpy as np
import pytest

import attention_lab as al
from attention_lab import config as configs
from attention_lab.api import train as api
from attention_lab.attention.base.attention import attentions
from attention_lab.errors import UserError
from attention_lab.training import due
from tests.api.cells import MINE, RUN, define
from tests.api.state import found_state


def test_a_class_of_a_cell_is_trained_in_memory(trained):
  result = trained.result
  assert result.folder is None
  assert (result.steps, result.model.step) == (4, 4)
  assert result.parameters == sum(
    leaf.size for layer in result.model.parameters.values() for leaf in layer.values()
  )
  assert result.seconds > 0
  assert result.summary["leak_check"] == "skipped"
  assert [(r["step"], r["split"]) for r in result.metrics] == [
    (2, "train"),
    (4, "train"),
    (4, "validation"),
  ]
  assert result.validation.loss == result.metrics[-1]["loss"]
  assert result.validation.perplexity == pytest.approx(np.exp(result.validation.loss))


def test_nothing_is_printed_nor_written_and_the_process_is_as_before(trained):
  assert trained.printed == ""
  assert list(trained.folder.iterdir()) == []
  assert trained.after == trained.before


def test_numbers_equal_those_of_the_mode_with_an_equal_class(run, trained):
  summary = json.loads((run / "summary.json").read_text())
  assert trained.result.validation.loss == summary["validation"]["loss"]
  assert trained.result.train.accuracy == summary["train"]["accuracy"]
  assert trained.result.parameters == summary["parameters"]


def test_results_are_text_table_figure_and_frame(trained):
  result = trained.result
  first, *rest = str(result).splitlines()
  assert first.startswith("my_attention attention, position rope, on copy")
  assert rest[1] == f"validation: {result.validation}"
  assert result._repr_html_().count("<tr>") == 3
  losses, accuracies = result.plot().axes
  assert losses.get_ylabel() == "loss (nats)"
  train, validation = losses.lines
  assert list(train.get_xdata()) == [2, 4]
  assert validation.get_ydata()[0] == result.validation.loss
  assert len(accuracies.lines) == 2
  assert result.plot()._repr_png_().startswith(b"\x89PNG")


def test_a_signal_saves_a_checkpoint_and_the_same_call_resumes(tmp_path, monkeypatch):
  work, logged, left = tmp_path / "work", due.log, [signal.SIGINT]

  def log(*words):
    if left:
      os.kill(os.getpid(), left.pop())
    return logged(*words)

  monkeypatch.setattr(due, "log", log)
  before = found_state()
  with pytest.raises(KeyboardInterrupt):
    al.train("standard", workdir=work, **RUN)
  assert found_state() == before
  assert len(list(work.glob("checkpoints/000000002-*.npz"))) == 1
  result = al.train(workdir=work, progress=False)  # The run's own settings.
  assert (result.folder, result.steps) == (work, 4)
  assert len(result.metrics) == 3


@pytest.mark.parametrize("form", ["values", "file", "config"])
def test_a_configuration_is_accepted(form, tmp_path, monkeypatch):
  seen = []
  monkeypatch.setattr(
    api.mode, "run", lambda config, *words: seen.append(config) or 130
  )
  monkeypatch.setattr(api, "interrupt", lambda number: seen.append(number))
  given = {"steps": 7, "model": {"d_model": 32}}
  if form == "config":
    given = configs.get_config()
    given.steps, given.model.d_model = 7, 32
  if form == "file":
    given = tmp_path / "mine.py"
    given.write_text(
      "from attention_lab.config import get_config as defaults\n"
      "def get_config():\n  config = defaults()\n  config.steps = 7\n"
      "  config.model.d_model = 32\n  return config\n"
    )
  al.train(given, seed=3, position="none")
  config, number = seen
  assert (config.steps, config.model.d_model, config.seed) == (7, 32, 3)
  assert (config.position, number) == ("none", 2)
  assert not config.log.tensorboard


@pytest.mark.parametrize(
  ("first", "settings", "message"),
  [
    ("standrad", {}, "'standrad' is not an attention. Did you mean 'standard'"),
    (None, {"stepz": 3}, "There is no setting 'stepz'. Did you mean 'steps'"),
    (None, {"steps": 0}, "steps=0: take a number above 0"),
    (None, {"steps": [1, 2]}, "steps=[1, 2]: give one value; lists are for compare"),
    (None, {"model__d_model": "wide"}, "model__d_model='wide': expected int"),
    (None, {"model__d_model": 30}, "or set model__key_size"),
    (None, {"seeds": 3}, "call train once for each seed, or use compare"),
    (None, {"compare__jobs": 3}, "compare__jobs=3 has no effect here; use compare"),
    (None, {"profile": True}, "it writes files, so name a workdir"),
    (None, {"kernel": dict}, "kernel takes no class, and dict is one"),
    (None, {"position": dict}, "dict: it must be a subclass of Position"),
    (int, {}, "int: it must be a subclass of Attention"),
    (3, {}, "a name, a class or a configuration first, not 3"),
    ("linear", {"attention": "standard"}, "Name the attention once"),
    ("nowhere.py", {}, "nowhere.py: there is no such file"),
    (
      None,
      {"train__start_from": "nowhere"},
      "train__start_from='nowhere': there is no run",
    ),
  ],
)
def test_mistakes_name_keywords_in_one_line(first, settings, message, tmp_path):
  known = list(attentions)
  with pytest.raises(UserError) as error:
    al.train(first, **settings)
  assert message in str(error.value)
  assert "\n" not in str(error.value)
  assert list(attentions) == known


def test_another_thread_is_refused():
  errors = []

  def train():
    try:
      al.train()
    except UserError as error:
      errors.append(str(error))

  thread = threading.Thread(target=train)
  thread.start()
  thread.join()
  assert errors == ["train handles signals, so call it from the main thread."]


def test_plugins_of_a_run_are_loaded_with_consent_alone(tmp_path):
  (tmp_path / "config.json").write_text(
    json.dumps({"config": {"plugins": ["/x/mine.py"]}})
  )
  for function in (al.load, lambda folder: al.train(workdir=folder)):
    with pytest.raises(UserError) as error:
      function(tmp_path)
    assert "type plugins=['/x/mine.py'], or trust_plugins=True instead" in str(
      error.value
    )


def test_equal_classes_of_two_cells_may_have_one_name(trained):
  other = define(MINE.replace("SCALE *", "2 +"), SCALE=1.0)
  with attentions.registered(trained.cls), attentions.registered(other) as name:
    assert name == "my_attention_2"
    with attentions.registered(other, "my_attention"):
      assert attentions["my_attention"] is other
    assert attentions["my_attention"] is trained.cls
