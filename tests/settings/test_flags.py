"""Tests of --help, and of the message for an unknown flag."""

import re
import subprocess
import sys

import pytest

from attention_lab import __version__
from attention_lab.errors import UserError
from attention_lab.settings import flags as command_line
from attention_lab.settings.table import LISTED, SETTINGS
from tests.commands import ROOT

ENTRYPOINTS = (["-m", "attention_lab"], ["-m", "attention_lab.main"])


@pytest.fixture(autouse=True)
def flags(own_flags):
  """Forget the flags that a test parses."""


def refusal(*words):
  """Return the message for a command line that is refused."""
  with pytest.raises(UserError) as error:
    command_line.parse(["main.py", *words])
  assert "\n" not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_help_describes_every_flag_once_within_the_width(columns):
  text = command_line.help_text(columns)
  named = re.findall(r"^  --(\w+)", text, re.MULTILINE)
  assert sorted(named) == sorted([*command_line.OTHERS, *command_line.NAMED])
  assert max(map(len, text.splitlines())) <= max(columns, 80)


def test_help_shows_default_and_choices():
  text = " ".join(command_line.help_text(80).split())
  for key in command_line.NAMED.values():
    setting = SETTINGS[key]
    assert " ".join(setting.help.split()) in text
    for choice in setting.choices:
      assert choice in text
    if isinstance(setting.default, str) and setting.default:
      assert f"Default: {setting.default}." in text


def test_every_flag_is_in_one_group():
  grouped = [name for names in command_line.GROUPS.values() for name in names]
  assert sorted(grouped) == sorted([*command_line.OTHERS, *command_line.NAMED])


def test_help_says_how_to_join_runs():
  text = " ".join(command_line.help_text(80).split())
  assert "--mode=report FOLDER… joins the folders of finished runs" in text
  assert "compare, report, evaluate" in text


def test_help_has_three_examples_and_says_how_to_list_the_settings():
  text = command_line.help_text(80)
  assert text.count("  python -m attention_lab.main ") == 3
  assert LISTED in " ".join(text.split())


@pytest.mark.parametrize("entrypoint", ENTRYPOINTS)
@pytest.mark.parametrize(
  ("word", "start"),
  [
    ("--help", "Train, check, compare"),
    ("-h", "Train, check, compare"),
    ("--helpfull", "Train, check, compare"),
    ("--help=steps", "Train, check, compare"),
    ("--version", f"attention_lab {__version__}\n"),
  ],
)
def test_entrypoints_print_the_same(entrypoint, word, start):
  found = subprocess.run(
    [sys.executable, "-X", "importtime", *entrypoint, word],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert found.returncode == 0
  assert found.stdout.startswith(start)
  assert not re.search(r"\bjax$", found.stderr, re.MULTILINE)


def test_help_into_a_closed_pipe_ends_silently():
  shell = f"{sys.executable} -m attention_lab --help | true; exit ${{PIPESTATUS[0]}}"
  found = subprocess.run(
    ["bash", "-c", shell], cwd=ROOT, capture_output=True, check=False
  )
  assert (found.returncode, found.stderr) == (0, b"")


@pytest.mark.parametrize(
  ("word", "answer"),
  [
    ("--learning_rate=1e-3", "Type --config.train.learning_rate=1e-3."),
    ("--d_model=3", "Type --config.model.d_model=3."),
    ("--d_model", "Type --config.model.d_model=value."),
    ("--train.learning_rate=1", "Type --config.train.learning_rate=1."),
    ("-config.model.num_layers=2", "Type --config.model.num_layers=2."),
    ("--every=3", "Type one of --config.evaluation.every=3, "),
    ("--learning_rat=1", "Did you mean --config.train.learning_rate?"),
    ("--attenton=x", "Did you mean --attention?"),
    (
      "--weight_decay=0.3",
      "weight_decay is an option: --config.train.optimizer='adamw(",
    ),
    ("--decay=0.3", "See --help."),
    ("--att=linear", "Did you mean --attention?"),
    ("--model=3", "model is a section: model.num_layers, "),
    ("--evaluation.lengths=8", "Did you mean --config.evaluation.extra_lengths?"),
    ("--nosuch", "See --help."),
  ],
)
def test_unknown_flag_message_shows_what_to_type(word, answer):
  name = word.lstrip("-").partition("=")[0]
  assert refusal(word).startswith(f"There is no flag --{name}. {answer}")


@pytest.mark.parametrize(
  ("words", "answer"),
  [
    (["--config.steps", "5"], "Write --config.steps=value."),
    (["standard"], "'standard' is no flag"),
    (["--attention"], "Missing value for flag --attention. Flags are written --name="),
    (["--dry_run=maybe"], "--dry_run=maybe: expected true or false."),
  ],
)
def test_malformed_command_line_is_rejected(words, answer):
  assert answer in refusal(*words)


@pytest.mark.parametrize("key", SETTINGS)
def test_setting_typed_as_a_flag_is_answered_with_its_full_name(key):
  name = key.rpartition(".")[2]
  if name in (*command_line.NAMED, *command_line.OTHERS):
    return
  assert f"--config.{key}=1" in refusal(f"--{name}=1")


def test_typed_value_of_an_option_is_in_the_example():
  assert "weight_decay=0.3" in refusal("--weight_decay=0.3")
  assert "weight_decay=0.1" in refusal("--weight_decay")


def test_last_of_a_repeated_flag_is_used():
  command_line.parse(["main.py", "--steps=1", "--steps=2"])
  assert command_line.FLAGS.steps == "2"
