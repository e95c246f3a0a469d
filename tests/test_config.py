"""Tests of reading, setting, validating and comparing configurations."""

import json
import subprocess
import sys

import pytest

from attention_lab import config as configs
from attention_lab.dataset.base.dataset import datasets
from attention_lab.errors import UserError

KEYS = [key for key, _ in configs.flatten(configs.get_config())]


@pytest.fixture
def config():
  return configs.get_config()


def settings(config):
  return dict(configs.flatten(config))


def write(tmp_path, body):
  path = tmp_path / "experiment.py"
  path.write_text(f"from attention_lab import config\n\n{body}\n")
  return str(path)


def test_defaults_are_valid(config):
  configs.validate(config)


def test_defaults_are_copies(config):
  config.model.num_layers = 99
  assert configs.get_config().model.num_layers != 99


def test_flatten_yields_section_and_key():
  nested = {"a": 1, "b": {"c": 2, "d": {"e": None}}}
  assert dict(configs.flatten(nested)) == {"a": 1, "b.c": 2, "b.d.e": None}


def test_flags_and_defaults_do_not_import_jax():
  code = (
    "import sys; from attention_lab import config, main; main.parse(['main.py']); "
    "config.get_config(); sys.exit('jax' in sys.modules)"
  )
  assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
  ("key", "text", "value"),
  [
    ("attention", "linear", "linear"),
    ("steps", "7", 7),
    ("model.d_ff", "64", 64),
    ("train.learning_rate", "1e-3", 1e-3),
    ("train.learning_rate", "1", 1.0),
    ("log.tensorboard", "false", False),
    ("log.tensorboard", "0", False),
    ("model.norm_offset", "TRUE", True),
    ("plugins", "('a', 'b')", ("a", "b")),
    ("plugins", "['a']", ("a",)),
    ("evaluation.extra_lengths", "64", (64,)),
    ("evaluation.extra_lengths", "64,128", (64, 128)),
    ("evaluation.extra_lengths", "()", ()),
    ("sample.prompt", "To be", "To be"),
    ("sample.prompt", "7", "7"),
  ],
)
def test_text_is_converted_to_the_type_of_the_setting(config, key, text, value):
  configs.set_text(config, key, text)
  found = settings(config)[key]
  assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
  ("key", "text", "kind"),
  [
    ("steps", "x", "int"),
    ("steps", "1e3", "int"),
    ("steps", "2.0", "int"),
    ("steps", "", "int"),
    ("model.d_ff", "none", "int"),
    ("train.learning_rate", "fast", "float"),
    ("log.tensorboard", "yes", "bool"),
    ("plugins", "mine", "tuple of texts"),
    ("plugins", "5", "tuple of texts"),
    ("plugins", "(", "tuple of texts"),
  ],
)
def test_text_of_another_type_is_rejected(config, key, text, kind):
  before = settings(config)
  with pytest.raises(UserError) as error:
    configs.set_text(config, key, text)
  assert str(error.value) == f"--config.{key}={text}: expected {kind}."
  assert settings(config) == before


@pytest.mark.parametrize(
  ("key", "value", "kind"),
  [
    ("steps", "7", "int"),
    ("steps", 7.5, "int"),
    ("steps", None, "int"),
    ("attention", 7, "str"),
    ("attention", None, "str"),
    ("train.learning_rate", None, "float"),
    ("log.tensorboard", 1, "bool"),
    ("plugins", "mine", "tuple of texts"),
  ],
)
def test_value_of_another_type_is_rejected(config, key, value, kind):
  with pytest.raises(UserError) as error:
    configs.set_value(config, key, value)
  assert str(error.value) == f"--config.{key}={value!r}: expected {kind}."


@pytest.mark.parametrize("key", ["model.d_ff", "model.key_size", "sample.prompt"])
def test_optional_setting_accepts_none(config, key):
  configs.set_value(config, key, None)
  assert settings(config)[key] is None


@pytest.mark.parametrize("change", [configs.set_value, configs.set_text])
@pytest.mark.parametrize(
  ("key", "answer"),
  [
    ("model.num_layer", "Did you mean 'model.num_layers'?"),
    ("stesp", "Did you mean 'steps'?"),
    ("model", "It is a section: model.num_layers, "),
    ("", "`python -m attention_lab.settings.page` prints all settings."),
  ],
)
def test_unknown_setting_is_answered_with_the_nearest(config, change, key, answer):
  with pytest.raises(UserError) as error:
    change(config, key, "2")
  assert f"There is no setting --config.{key}. {answer}" in str(error.value)


def test_experiment_file_changes_only_its_own_settings(tmp_path):
  path = write(
    tmp_path,
    "def get_config():\n"
    "  result = config.get_config()\n"
    "  result.steps = 7\n"
    "  result.model.d_model = 32\n"
    "  return result",
  )
  expected = settings(configs.get_config()) | {"steps": 7, "model.d_model": 32}
  assert settings(configs.load_file(path)) == expected


def test_experiment_file_may_return_a_dictionary(tmp_path):
  path = write(tmp_path, "def get_config(): return {'model': {'d_model': 32}}")
  expected = settings(configs.get_config()) | {"model.d_model": 32}
  assert settings(configs.load_file(path)) == expected


def test_missing_experiment_file_is_named(tmp_path):
  with pytest.raises(UserError, match=r"--config=.*nofile\.py: there is no such file"):
    configs.load_file(str(tmp_path / "nofile.py"))


@pytest.mark.parametrize(
  ("body", "answer"),
  [
    ("def get_config(:", "SyntaxError"),
    ("x = 1", r"it must define get_config\(\)"),
    ("def get_config(): return 1 / 0", r"\w+\.py, line \d+: ZeroDivisionError: "),
    ("import no_such_module_here", "No module named 'no_such_module_here'"),
    ("def get_config(): return None", r"get_config\(\)"),
    ("def get_config(): return 5", r"get_config\(\)"),
    ("def get_config(): return {'model': {'num_layer': 2}}", "'model.num_layers'"),
    ("def get_config(): return {'steps': 'x'}", "--config.steps='x': expected int"),
    ("def get_config(): return {'steps': None}", "--config.steps=None: expected int"),
    ("from attention_lab.errors import UserError\nraise UserError('why')", "why"),
  ],
)
def test_invalid_experiment_file_gives_a_message_of_one_line(tmp_path, body, answer):
  with pytest.raises(UserError, match=answer) as error:
    configs.load_file(write(tmp_path, body))
  assert "\n" not in str(error.value)


def test_configuration_is_restored_from_json(config):
  config.plugins = ("a", "b")
  config.model.d_ff = 7
  stored = json.loads(json.dumps(config.to_dict()))
  assert settings(configs.from_stored(stored)) == settings(config)


@pytest.mark.parametrize(
  ("stored", "key", "value"),
  [
    ({"architecture": "encoder"}, "architecture.name", "encoder"),
    ({"evaluation": {"lengths": [7]}}, "evaluation.extra_lengths", (7,)),
    ({"benchmark": {"lengths": [7]}}, "benchmark.sequence_lengths", (7,)),
    ({"compare": {"lengths": [7]}}, "compare.cost_lengths", (7,)),
  ],
)
def test_former_name_is_read_only_from_a_stored_configuration(
  config, stored, key, value
):
  assert settings(configs.from_stored(stored))[key] == value
  ((former, _),) = configs.flatten(stored)
  with pytest.raises(UserError, match=f"There is no setting --config.{former}"):
    configs.set_value(config, former, value)


@pytest.mark.parametrize("stored", ["text_file(path='a')", "text_file (path='a')"])
def test_former_name_of_a_component_is_read_from_a_stored_configuration(stored):
  assert configs.from_stored({"dataset": stored}).dataset == "text(path='a')"
  assert configs.from_stored({"dataset": "copy"}).dataset == "copy"
  with pytest.raises(UserError, match="'text_file' is not a dataset.*'text'"):
    datasets.bind(stored)


def test_a_stored_run_keeps_the_defaults_of_options_that_it_had():
  def stored(pattern, **more):
    values = {"attention": pattern, "architecture": {"encoder": {"attention": pattern}}}
    config = configs.from_stored(values | more)
    assert config.architecture.encoder.attention == config.attention
    return config.attention

  assert stored("standard*2, cosine") == "standard*2, cosine"
  assert stored("differential") == "differential(lambda_init=0.8)"
  assert stored("retention*2,nystrom(landmarks=8)") == (
    "retention(relative_epsilon=False),retention(relative_epsilon=False),"
    "nystrom(convolution=0, landmarks=8)"
  )
  assert stored("performer(by_layer=True)") == "performer(by_layer=True)"
  new = configs.get_config()
  new.attention = "differential"
  assert configs.from_stored(new.to_dict()).attention == "differential"


def test_unknown_stored_setting_is_named():
  with pytest.raises(UserError, match=r"no setting --config.model.removed"):
    configs.from_stored({"model": {"removed": 1}})


@pytest.mark.parametrize(
  ("key", "value", "answer"),
  [
    ("train.learning_rate", float("nan"), "take a finite number"),
    ("train.learning_rate", float("inf"), "take a finite number"),
    ("train.clip_norm", float("nan"), "take a finite number"),
    ("model.dropout", 1.0, "take less than 1.0"),
    ("train.label_smoothing", 1.0, "take less than 1.0"),
    ("seed", 2**32, f"take less than {2**32}"),
    ("train.precision", "float23", "Did you mean 'float32'?"),
    ("evaluation.checkpoint", "first", "Known: best, newest."),
    ("evaluation.extra_lengths", (64, 0), "take whole numbers of 1 or more"),
    ("sample.top_p", 0.0, "take a number above 0"),
    ("sample.top_p", 1.5, "take 1 or less"),
  ],
)
def test_invalid_value_is_rejected(config, key, value, answer):
  configs.set_value(config, key, value)
  flag = f"--config.{key}" if "." in key else f"--{key}"
  with pytest.raises(UserError) as error:
    configs.validate(config)
  assert str(error.value).startswith(f"{flag}={value}: ")
  assert answer in str(error.value)


@pytest.mark.parametrize(
  ("key", "value"),
  [("seed", 2**32 - 1), ("model.dropout", 0.99), ("sample.top_p", 1.0)],
)
def test_value_at_the_bound_is_accepted(config, key, value):
  configs.set_value(config, key, value)
  configs.validate(config)


def test_average_of_the_best_checkpoint_is_rejected(config):
  config.evaluation.average = 2
  configs.validate(config)
  config.evaluation.checkpoint = "best"
  with pytest.raises(UserError, match="average=2 averages the newest .* omit one"):
    configs.validate(config)


def test_differences_contain_both_values(config):
  stored = config.to_dict()
  config.model.d_model = 32
  assert configs.differences(stored, config) == {"model.d_model": (64, 32)}


@pytest.mark.parametrize(
  ("key", "value"),
  [
    ("plugins", ("a",)),
    ("data_dir", "/data"),
    ("evaluation.every", 7),
    ("evaluation.extra_lengths", (7,)),
    ("checkpoint.keep", 7),
    ("log.every", 7),
    ("sample.length", 7),
    ("train.steps_per_call", 7),
  ],
)
def test_resumable_setting_is_not_a_difference(config, key, value):
  stored = config.to_dict()
  configs.set_value(config, key, value)
  assert configs.differences(stored, config) == {}
