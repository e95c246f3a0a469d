"""A checkpoint is used only by the run that wrote it."""

import base64
import dataclasses
import json
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from attention_lab import config as configs
from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.settings.table import SETTINGS
from attention_lab.training.identity import identity, refuse_foreign

CODE, DATA = {"update.py": "1"}, "data"
NO_RECORDS = base64.b64encode(zlib.compress(b"")).decode()
# "steps" is among them if the schedule depends on it, which the default one does.
OF_RESULTS = sorted(key for key, setting in SETTINGS.items() if not setting.resumable)


@pytest.fixture
def folder(tmp_path):
  """The folder of a run with the default settings."""
  devices = [SimpleNamespace(device_kind="", platform="cpu")]
  settings = configs.get_config().to_dict()
  run_folder.record(tmp_path, settings, DATA, devices, code=CODE)
  return tmp_path


def checkpoint(config, code=CODE, data=DATA, step=8, name="000000008"):
  """Return the path and the meta data of a checkpoint, as they come from the disk."""
  written = {**identity(config, code, data), "step": step}
  times = {"seconds": 1.0, "training_seconds": 1.0}
  meta = {
    "identity": written,
    "window": [[], [], [], []],
    "journal": NO_RECORDS,
    **times,
  }
  meta = json.loads(json.dumps(meta))
  return Path(f"{name}-0123456789abcdef.npz"), meta


def another(setting, value):
  """Return another value of a setting than the given one."""
  if setting.choices:
    return next(choice for choice in setting.choices if choice != value)
  if setting.type is bool:
    return not value
  if setting.type is str:
    return f"{value}x"
  return (value or 0) + (0.25 if setting.type is float else 1)


def test_a_run_uses_its_own_checkpoint(folder):
  config = configs.get_config()
  refuse_foreign(folder, config, CODE, *checkpoint(config))


@pytest.mark.parametrize("key", OF_RESULTS)
def test_a_checkpoint_of_another_setting_is_refused_by_name(folder, key):
  config, other = configs.get_config(), configs.get_config()
  values = dict(configs.flatten(config.to_dict()))
  new = another(SETTINGS[key], values[key])
  configs.set_value(other, key, new)
  answer = f"{key}: {new!r} there, {values[key]!r} here"
  with pytest.raises(UserError) as error:
    refuse_foreign(folder, config, CODE, *checkpoint(other))
  assert answer in str(error.value)


@pytest.mark.parametrize(
  ("key", "value"), [("checkpoint.every", 7), ("train.on_nonfinite", "skip")]
)
def test_what_a_resumed_run_may_change_does_not_count(folder, key, value):
  config, other = configs.get_config(), configs.get_config()
  configs.set_value(other, key, value)
  refuse_foreign(folder, other, CODE, *checkpoint(config))


def test_more_steps_of_a_constant_schedule_are_the_same_run(folder):
  config, other = configs.get_config(), configs.get_config()
  for each in (config, other):
    each.train.schedule = "constant"
  config.steps *= 2
  refuse_foreign(folder, config, CODE, *checkpoint(other))


@dataclasses.dataclass
class Foreign:
  """A difference of a checkpoint from those of the run, and the message about it."""

  changes: dict
  answer: str


FOREIGN = {
  "step": Foreign({"name": "000000009"}, "the name of step 9 and the state of step 8"),
  "data": Foreign({"data": "other"}, "is of a run on other data"),
  "code": Foreign({"code": {"update.py": "2"}}, "never had (update.py)"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_checkpoint_of_another_kind_is_refused(folder, kind):
  config, foreign = configs.get_config(), FOREIGN[kind]
  with pytest.raises(UserError) as error:
    refuse_foreign(folder, config, CODE, *checkpoint(config, **foreign.changes))
  assert foreign.answer in str(error.value)
  assert "\n" not in str(error.value)


def test_the_code_of_an_earlier_start_is_the_runs_own(folder):
  config, today = configs.get_config(), {"update.py": "2"}
  devices = [SimpleNamespace(device_kind="", platform="cpu")]
  run_folder.record(folder, config.to_dict(), DATA, devices, code=today)
  refuse_foreign(folder, config, today, *checkpoint(config))


def test_other_code_is_used_if_the_user_accepts_it(folder):
  config = configs.get_config()
  config.checkpoint.changed_code = "accept"
  other = checkpoint(config, {"update.py": "2"})
  refuse_foreign(folder, config, CODE, *other)


def test_a_checkpoint_of_an_earlier_version_is_used(folder):
  path, meta = checkpoint(configs.get_config())
  del meta["identity"]
  refuse_foreign(folder, configs.get_config(), CODE, path, meta)
