"""Tests of the command line: flags set settings, and mistakes give a one-line message."""

import json
import os
from pathlib import Path

import pytest

import attention_lab
from attention_lab import config as configs
from attention_lab import main
from attention_lab.dataset.copy import Copy
from attention_lab.settings import flags as command_line
from tests import commands
from tests.commands import assert_refused

COPY = "--dataset=copy"  # Needs no data.
LONG = "x" * 300  # Longer than a file's name can be.


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch, own_flags):
  """Start in an empty folder, without flags."""
  monkeypatch.chdir(tmp_path)


def read(*words):
  """Return the configuration that a command line sets."""
  return main.read_config(command_line.parse(["main.py", *words]))


def write(name, text):
  path = Path(name)
  path.parent.mkdir(exist_ok=True)
  path.write_text(text)


def store(**settings):
  """Put a run with these settings into the folder "run"."""
  config = configs.get_config().to_dict() | settings
  write("run/config.json", json.dumps({"config": config}))


@pytest.mark.parametrize(
  ("words", "answer"),
  [
    # Flags.
    ("--attenton=standard", "There is no flag --attenton. Did you mean --attention?"),
    ("-config.model.num_layers=2", "There is no flag --config.model.num_layers."),
    ("standard", "'standard' is no flag; flags are written --name=value."),
    (f"{COPY} -- --steps=2", "'--steps=2' is no flag"),
    ("--mode=trian", "--mode=trian: Did you mean 'train'?"),
    ("--mode=", "Known: "),
    ("--attention", "attention"),
    # Settings.
    ("--batch_size=0", "--batch_size=0: take a number above 0."),
    ("--batch_size=x", "batch_size=x: expected int."),
    ("--steps=1e3", "steps=1e3: expected int."),
    ("--seeds=1,2,3", "expected int, the number of seeds: --seeds=3."),
    ("--steps=5,6", "expected one int; lists are for --mode=compare."),
    ("--steps=-5", "--steps=-5: take a number above 0."),
    ("--seed=-1", "--seed=-1: take 0 or more."),
    ("--config.model.num_layer=2", "Did you mean 'model.num_layers'?"),
    ("--config.model.num_layers", "Write --config.model.num_layers=value."),
    ("--config.model=2", "There is no setting --config.model."),
    ("--config.train.learning_rate=nan", "learning_rate=nan: take a finite number."),
    ("--config.train.precision=float23", "Did you mean 'float32'?"),
    (
      f"{COPY} --config.model.norm=pree",
      "--config.model.norm=pree: Did you mean 'pre'?",
    ),
    ("--config.sample.top_p=2", "--config.sample.top_p=2.0: take 1 or less."),
    # Components.
    (f"{COPY} --attention=standrad", "Did you mean 'standard'?"),
    (f"{COPY} --attention=standard(", "is not of the form name or name(option=value"),
    (f"{COPY} --attention=", "is not of the form name or name(option=value"),
    (f"{COPY} --attention=()", "is not of the form name or name(option=value"),
    (f"{COPY} --attention=standard(drop=1)", "has no option 'drop'. Did you mean"),
    (f"{COPY} --attention=standard(dropout=yes)", "(dropout='yes'): expected float"),
    (f"{COPY} --attention=standard(bias={{[]:1}})", "'bias' is not a literal"),
    (f"{COPY} --attention=standard(num_kv_heads=3)", "Take one of 1, 2, 4."),
    (f"{COPY} --attention=standard*9", "names 9 layers, but the model has 4."),
    (f"{COPY} --position=rop", "Did you mean 'rope'?"),
    ("--dataset=cpy", "Did you mean 'copy'?"),
    ("--dataset=copy(alphabet=0)", "take 1 letter or more"),
    (f"{COPY} --architecture=decodr_only", "Did you mean 'decoder_only'?"),
    (f"{COPY} --config.train.optimizer=adamm", "Did you mean 'adam"),
    (f"{COPY} --config.train.schedule=cosin", "Did you mean 'cosine'?"),
    (f"{COPY} --config.model.num_heads=3", "does not divide d_model=64"),
    (f"{COPY} --batch_size=12", "or 6 of the devices for a run that has begun"),
    # Data, prompts and folders.
    ("--dataset=text(path='no.txt')", "No file matches 'no.txt'"),
    ("--dataset=text", "needs an option: text(path=...)"),
    (f"--dataset=text(path='{LONG}')", "No file matches"),
    (f"{COPY} --prompt=", "--prompt is empty"),
    (f"{COPY} --prompt=abcX", "The character 'X' is not in this dataset's vocabulary"),
    (f"{COPY} --workdir=/proc/x", "Cannot write to /proc/x: "),
    (f"{COPY} --workdir={LONG}", "File name too long"),
    ("--mode=sample --workdir=nowhere", "There is no run in nowhere."),
    ("--mode=evaluate", "Name a run with --workdir=..."),
    # Files of the user.
    ("--config=nofile.py", "--config=nofile.py: there is no such file."),
    (f"--config={LONG}.py", ".py: there is no such file."),
    ("--plugin=no_such_plugin", "Plugin no_such_plugin: ModuleNotFoundError"),
    ("--plugin=nofile.py", "nofile.py: there is no such file."),
  ],
)
def test_mistake_gives_a_message_of_one_line_and_creates_no_file(
  command, words, answer
):
  assert_refused(command(*words.split(" ")), answer)
  assert os.listdir() == []


@pytest.mark.parametrize(
  ("text", "answer"),
  [
    ("def get_config(:", "SyntaxError"),
    ("x = 1", "it must define get_config()"),
    ("def get_config(): return None", "get_config()"),
    ("def get_config(): return {'stesp': 2}", "Did you mean 'steps'?"),
    ("def get_config(): return {'steps': None}", "--config.steps=None: expected int."),
    ("def get_config(): return {'steps': 0}", "--steps=0: take a number above 0."),
  ],
)
def test_invalid_experiment_file_gives_a_message_of_one_line(command, text, answer):
  write("experiment.py", text)
  assert_refused(command("--config=experiment.py"), answer)


@pytest.mark.parametrize(
  ("text", "answer"),
  [
    (
      "\nraise RuntimeError('first\\nsecond')",
      "mine.py, line 2: RuntimeError: first second.",
    ),
    ("def f(:", "SyntaxError"),
  ],
)
def test_invalid_plugin_gives_a_message_of_one_line(command, text, answer):
  write("mine.py", text)
  assert_refused(command("--plugin=mine.py"), answer)


def test_binary_file_as_text_gives_a_message_of_one_line(command):
  Path("data").write_bytes(b"abc\xff")
  assert_refused(command("--dataset=text(path=data)"), "data is not UTF-8 text")


def test_short_text_gives_a_message_of_one_line(command):
  write("data", "abc")
  assert_refused(command("--dataset=text(path=data)"), "lower sequence_length.")


def test_run_of_another_configuration_is_not_resumed(command):
  store(steps=7)
  answer = "steps: 7 there, 8 here"
  assert_refused(command("--workdir=run", "--steps=8"), answer)


def test_run_on_other_data_is_not_resumed(command):
  store(dataset="copy", position="rope")
  assert_refused(command("--workdir=run"), "The data has changed since")


@pytest.mark.parametrize(
  ("text", "answer"),
  [
    ("{", "run/config.json is not JSON"),
    ("{}", "config is missing"),
    ('{"config": {"removed": 1}}', "There is no setting --config.removed."),
    ('{"config": {"steps": "x"}}', "--config.steps='x': expected int."),
  ],
)
def test_damaged_run_gives_a_message_of_one_line(command, text, answer):
  write("run/config.json", text)
  assert_refused(command("--workdir=run"), answer)


@pytest.mark.parametrize("mode", ["sample", "evaluate"])
def test_run_without_checkpoint_gives_a_message_of_one_line(command, mode):
  store(dataset="copy", batch_size=8)
  content = json.loads(Path("run/config.json").read_text())
  content["provenance"] = {"dataset_sha256": Copy(data_dir="").fingerprint}
  write("run/config.json", json.dumps(content))
  assert_refused(command("--workdir=run", f"--mode={mode}"), "holds no checkpoint yet")


@pytest.mark.parametrize(
  ("words", "answer"),
  [
    ([COPY, "--attention=standrad"], "Did you mean 'standard'?"),
    (["--bacth_size=2"], "There is no flag --bacth_size."),
    (
      ["--config=experiment.py"],
      "experiment.py, line 1: ZeroDivisionError: division by zero.",
    ),
    ([COPY, "--workdir=/proc/x"], "Cannot write to /proc/x: "),
  ],
)
def test_mistake_prints_one_line_and_exits_with_2(words, answer):
  write("experiment.py", "1 / 0")
  assert_refused(commands.run(*words), answer)


def test_defaults_are_used_without_flags():
  assert read() == configs.get_config()


def test_flags_set_settings():
  config = read(
    "--attention=standard(bias=True)", "--steps=7", "--seed=3", "--data_dir=d"
  )
  assert config.attention == "standard(bias=True)"
  assert (config.steps, config.seed, config.data_dir) == (7, 3, "d")


def test_one_setting_is_set_by_its_full_name():
  config = read("--config.model.d_model=32", "--config.sample.prompt=a=b")
  assert (config.model.d_model, config.sample.prompt) == (32, "a=b")


def test_flags_override_the_experiment_file_and_the_file_overrides_the_defaults():
  write("experiment.py", "def get_config(): return {'steps': 7, 'batch_size': 8}")
  config = read("--config=experiment.py", "--steps=9")
  assert (config.steps, config.batch_size) == (9, 8)


def test_resumed_run_needs_no_flags():
  store(steps=7, dataset="copy")
  config = read("--workdir=run")
  assert (config.steps, config.dataset) == (7, "copy")


def test_prompt_and_sampling_seed_do_not_change_the_run():
  store(seed=5)
  config = read("--workdir=run", "--mode=sample", "--seed=3", "--prompt=abc")
  assert (config.seed, config.sample.seed, config.sample.prompt) == (5, 3, "abc")


def test_plugin_is_stored_once_by_its_absolute_path():
  path = str(Path("mine.py").resolve())
  store(plugins=[path])
  config = read("--workdir=run", "--plugin=mine.py", "--plugin=a.b", "--plugin=a.b")
  assert config.plugins == (path, "a.b")


def test_every_file_in_the_folder_mode_is_a_mode():
  folder = Path(attention_lab.__file__).parent / "mode"
  files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
  assert main.mode_names() == sorted(files)


def test_command_returns_the_status_of_the_mode(command, monkeypatch):
  from attention_lab.mode import train

  monkeypatch.setattr(train, "run", lambda config, workdir: (config.steps, workdir)[0])
  assert command("--steps=143") == (143, "", "")


def test_list_prints_all_components(command):
  status, out, err = command("--mode=list")
  assert (status, err) == (0, "")
  for word in ("standard", "rope", "python_docs", "decoder_only", "adamw", "cosine"):
    assert f" {word} " in out
