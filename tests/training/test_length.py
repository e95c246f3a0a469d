"""The length of training as a budget of tokens, which becomes a number of steps."""

import json
import re

import pytest

from attention_lab.compare import budget
from attention_lab.errors import UserError
from attention_lab.mode import train
from attention_lab.training import forecast
from attention_lab.training.preflight import settle_length
from tests.commands import assert_refused, last_checkpoint, records
from tests.parts import tiny_config

# A step of these sizes sees 8 examples of 8 tokens.
PER_STEP = 64


@pytest.mark.parametrize(("tokens", "steps"), [(64, 1), (65, 2), (256, 4), (257, 5)])
def test_as_many_steps_are_taken_as_see_the_tokens(tokens, steps):
  config = tiny_config(train__tokens=tokens)
  settle_length(config)
  assert (config.steps, config.train.tokens) == (steps, None)


def test_without_a_budget_the_steps_stay():
  config = tiny_config(steps=7)
  settle_length(config)
  assert config.steps == 7


@pytest.mark.parametrize(
  ("tokens", "answer"),
  [
    (63, r"a step sees 64 tokens \(--batch_size=8 examples of 8\); take that or more"),
    (PER_STEP * 2**31, "--steps=2147483648: take less than"),
  ],
)
def test_a_budget_that_is_no_number_of_steps_is_refused(tokens, answer):
  with pytest.raises(UserError, match=answer):
    settle_length(tiny_config(train__tokens=tokens))


def test_more_tokens_train_a_run_further(tmp_path, command, monkeypatch):
  monkeypatch.setattr(forecast, "STEPS_SECONDS", 0)
  quiet = {"log__tensorboard": False, "model__num_layers": 1, "evaluation__every": 9}
  folder, whole = tmp_path / "run", tmp_path / "whole"
  assert (
    train.run(tiny_config(train__tokens=2 * PER_STEP - 1, **quiet), str(folder)) == 0
  )
  stored = json.loads((folder / "config.json").read_text())["config"]
  assert (stored["steps"], stored["train"]["tokens"]) == (2, None)
  status, out, err = command(f"--workdir={folder}", "--config.train.tokens=192")
  assert (status, err) == (0, "")
  budget_line = "3 steps of 64 tokens: 192 tokens, "
  assert re.search(f"Resuming at step 2 in .*\n{budget_line}.* passes over the", out)
  assert train.run(tiny_config(steps=3, **quiet), str(whole)) == 0
  assert records(folder)[-1]["step"] == 3
  before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
  status, out, err = command(f"--workdir={folder}", "--steps=5", "--dry_run")
  assert (status, err) == (0, "")
  assert re.search("^steps +5, of which 3 are taken$", out, re.M)
  assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
  one, two = map(last_checkpoint, (folder, whole))
  assert {key: x.tobytes() for key, x in one.items()} == {
    key: x.tobytes() for key, x in two.items()
  }


def test_steps_that_are_typed_replace_the_tokens_of_a_file(tmp_path, command):
  path = tmp_path / "mine.py"
  text = "from attention_lab.config import get_config as default\n\ndef get_config():\n"
  path.write_text(
    f"{text}  config = default()\n  config.train.tokens = 1\n  return config"
  )
  refused = command(f"--config={path}", f"--workdir={tmp_path / 'a'}")
  assert_refused(refused, "a step sees 2,048 tokens")
  words = "--steps=1", "--config.model.num_heads=3"  # Refused later.
  refused = command(f"--config={path}", f"--workdir={tmp_path / 'a'}", *words)
  assert_refused(refused, "num_heads")
  path.write_text(path.read_text().replace("train.tokens = 1", "steps = 5"))
  path.write_text(
    path.read_text().replace("  return", "  config.train.tokens = 1\n  return")
  )
  assert_refused(command(f"--config={path}"), "both say how long to train")


def test_steps_and_tokens_together_are_refused(command):
  words = "--steps=1400", "--config.train.tokens=1000000"
  for mode in ("train", "compare"):
    refused = command(f"--mode={mode}", "--attention=standard,linear", *words)
    assert_refused(refused, "both say how long to train; omit one of them.")


def compared(**values):
  """A comparison over lists of values, with a budget of 256 tokens."""
  config = tiny_config(train__tokens=256, skip_checks=True)
  config.compare.grid = tuple((key.replace("__", "."), x) for key, x in values.items())
  return config


def test_the_rows_of_a_comparison_have_the_steps_in_common():
  config = compared(attention=("standard", "linear"))
  budget.settle_length(config)
  assert (config.steps, config.train.tokens) == (4, None)
  with pytest.raises(UserError) as error:
    budget.settle_length(compared(batch_size=(8, 16)))
  assert str(error.value) == (
    "--config.train.tokens=256 is 4 steps of the row 'standard, batch size 8' and 2 of "
    "'standard, batch size 16'; all rows are trained for the same number of steps."
  )
