"""Proves that a run's folder is only ever gone on with by the same run."""

import json
import os
import re
import subprocess
import sys
import time
import types

import pytest

from attention_lab import config as configs
from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.run import lost
from attention_lab.system.processor import processor
from attention_lab.training import changes

DEVICES = [types.SimpleNamespace(device_kind="Abacus", platform="cpu")] * 2


@pytest.fixture
def config():
  return configs.get_config()


@pytest.fixture
def workdir(tmp_path, config):
  """The folder of a run on data with the fingerprint "data"."""
  open_(tmp_path / "run", config, "data", DEVICES)
  return tmp_path / "run"


def open_(workdir, config, fingerprint, devices):
  """Do what a start of a run does."""
  changes.refuse_other_config(workdir, config)
  run_folder.refuse_other_data(workdir, fingerprint)
  with run_folder.held(workdir):
    run_folder.record(workdir, config.to_dict(), fingerprint, devices)


def content(workdir):
  return json.loads((workdir / "config.json").read_text())


def test_a_folder_without_a_run_has_no_configuration(tmp_path):
  assert run_folder.stored_config(tmp_path) is None


def test_a_new_folder_is_ready_to_train_in(workdir):
  names = {path.name for path in workdir.iterdir()}
  assert names == {"config.json", "checkpoints", ".lock"}


def test_what_a_killed_run_left_half_written_goes(workdir, config):
  left = [folder / ".9.partial" for folder in (workdir, workdir / "checkpoints")]
  for path in left:
    path.write_bytes(b"half")
  with run_folder.held(workdir):
    assert not any(path.exists() for path in left)


def test_the_configuration_comes_back_as_it_was(workdir, config):
  stored = run_folder.stored_config(workdir)
  found = configs.from_stored(stored)
  assert dict(configs.flatten(found)) == dict(configs.flatten(config))


def test_where_a_run_came_from_is_written_beside_it(tmp_path, config, monkeypatch):
  monkeypatch.setattr(sys, "argv", ["main.py", "--attention=a(b=1)", "--steps=2"])
  open_(tmp_path, config, "data", DEVICES)
  provenance = content(tmp_path)["provenance"]
  assert provenance["command"] == (
    "python -m attention_lab.main '--attention=a(b=1)' --steps=2"
  )
  assert provenance["dataset_sha256"] == "data"
  assert provenance["devices"] == ["Abacus", "Abacus"]
  assert provenance["platform"] == "cpu"
  assert provenance["versions"]["jax"]
  assert provenance["processor"] == processor()
  time.strptime(provenance["started"], "%Y-%m-%dT%H:%M:%S%z")


def test_every_start_of_a_run_is_remembered(workdir, config, monkeypatch):
  first = content(workdir)["provenance"]
  for word in ("second", "third"):
    monkeypatch.setattr(sys, "argv", ["main.py", word])
    open_(workdir, config, "data", DEVICES)
  found = content(workdir)
  assert found["earlier"][0] == first
  commands = [start["command"] for start in [*found["earlier"], found["provenance"]]]
  assert [command.split()[-1] for command in commands[1:]] == ["second", "third"]


def test_another_configuration_is_refused_with_both_values(workdir, config):
  before = content(workdir)
  config.model.d_model = 32
  with pytest.raises(UserError, match=r"\(model.d_model: 64 there, 32 here\)"):
    open_(workdir, config, "data", DEVICES)
  assert content(workdir) == before


def test_other_data_is_refused_with_both_fingerprints(workdir, config):
  before = content(workdir)
  with pytest.raises(UserError, match="sha256 data then, other now"):
    open_(workdir, config, "other", DEVICES)
  assert content(workdir) == before


def test_what_changes_no_number_may_change(workdir, config):
  config.log.every = 7
  open_(workdir, config, "data", DEVICES)
  assert run_folder.stored_config(workdir)["log"]["every"] == 7


@pytest.mark.parametrize("schedule", ["constant", "warmup(warmup_steps=3)"])
def test_a_run_whose_schedule_has_no_end_may_go_on_for_longer(
  tmp_path, config, schedule
):
  config.train.schedule = schedule
  open_(tmp_path, config, "data", DEVICES)
  config.steps *= 2
  open_(tmp_path, config, "data", DEVICES)
  assert run_folder.stored_config(tmp_path)["steps"] == config.steps


def test_a_run_whose_schedule_has_an_end_may_not(workdir, config):
  config.steps = 7
  with pytest.raises(UserError, match="steps: 1400 there, 7 here"):
    open_(workdir, config, "data", DEVICES)


@pytest.mark.parametrize("text", ["[]", "{}", '{"config": 3}', "{", ""])
def test_a_configuration_that_was_broken_is_named(tmp_path, text):
  (tmp_path / "config.json").write_text(text)
  with pytest.raises(UserError, match=r"config\.json(:| is not)"):
    run_folder.stored_config(tmp_path)


def test_a_run_that_does_not_say_where_it_came_from_is_refused(tmp_path, config):
  (tmp_path / "config.json").write_text(json.dumps({"config": config.to_dict()}))
  with pytest.raises(UserError, match="sha256 None then, data now"):
    open_(tmp_path, config, "data", DEVICES)


def test_a_folder_that_cannot_be_made_is_refused(config, tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(UserError, match=r"Cannot write to .* --workdir="):
    open_(tmp_path / "file", config, "data", DEVICES)


def test_a_new_folders_name_tells_what_is_tried(config):
  config.attention, config.position = "window(size=64), standard", "rope"
  config.steps, config.model.d_ff, config.log.every = 300, 128, 7
  path = run_folder.new_folder(*configs.words(config))
  assert path.parent == run_folder.RUNS
  date, time, rest = path.name.split("-", 2)
  assert (len(date), len(time)) == (8, 6)
  assert re.fullmatch(
    "window-size-64---standard-rope-decoder_only-python_docs-steps-300-d_ff-128"
    "-[0-9a-f]{6}",
    rest,
  )


def test_a_new_folders_name_is_no_path_and_not_too_long(config):
  config.dataset = f"text(path='../{'x' * 300}')"
  path = run_folder.new_folder(*configs.words(config))
  assert path.parent == run_folder.RUNS
  assert len(path.name) <= 100


def test_a_run_that_is_there_is_found(workdir):
  assert run_folder.existing(str(workdir)) == workdir


@pytest.mark.parametrize(
  ("asked", "answer"),
  [("nowhere", "There is no run in nowhere."), (None, "Name a run with --workdir=...")],
)
def test_a_run_that_is_not_there_is_answered_with_the_newest(
  tmp_path, monkeypatch, asked, answer
):
  monkeypatch.chdir(tmp_path)
  for age, name in enumerate(("new", "old")):
    path = tmp_path / "runs" / name / "config.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    os.utime(path, (1000 - age, 1000 - age))
  with pytest.raises(UserError) as error:
    run_folder.existing(asked)
  assert str(error.value) == f"{answer} The newest run is --workdir=runs/new"


def test_where_there_is_no_run_at_all_none_is_named(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError) as error:
    run_folder.existing("nowhere")
  assert str(error.value) == "There is no run in nowhere."


@pytest.fixture
def checkout(tmp_path, monkeypatch):
  """A git checkout with one committed file; calls git in it."""
  for variable in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):  # Of a commit hook.
    monkeypatch.delenv(variable, raising=False)
  me = ("-c", "user.name=me", "-c", "user.email=me@example.org")

  def git(*words):
    command = ["git", "-C", tmp_path, *me, *words]
    return subprocess.run(
      command, check=True, capture_output=True, text=True
    ).stdout.strip()

  (tmp_path / "module.py").write_text("")
  git("init")
  git("add", "module.py")
  git("commit", "--message=first")
  return git


@pytest.mark.parametrize(("text", "mark"), [("", ""), ("changed", "+")])
def test_the_commit_is_recorded_and_whether_it_was_changed(
  tmp_path, checkout, monkeypatch, text, mark
):
  module = tmp_path / "module.py"
  module.write_text(text)
  monkeypatch.setattr(run_folder, "__file__", str(module))
  assert run_folder._git_commit() == checkout("rev-parse", "HEAD") + mark


def test_somebody_elses_repository_is_not_taken_for_ours(
  tmp_path, checkout, monkeypatch
):
  monkeypatch.setattr(run_folder, "__file__", str(tmp_path / "not_committed.py"))
  assert run_folder._git_commit() is None


def test_outside_of_any_repository_there_is_no_commit(tmp_path, monkeypatch):
  monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
  monkeypatch.setattr(run_folder, "__file__", str(tmp_path / "module.py"))
  assert run_folder._git_commit() is None


def test_two_runs_that_start_at_one_moment_have_two_folders(monkeypatch):
  monkeypatch.setattr(run_folder.time, "strftime", lambda form: "20260101-000000")
  assert len({run_folder.new_folder("a") for _ in range(20)}) == 20


def test_a_new_folder_that_exists_is_refused(workdir):
  with (
    pytest.raises(UserError, match=r"Cannot write to .*: File exists"),
    run_folder.held(workdir, new=True),
  ):
    pass


def test_a_folder_that_was_removed_is_reported(workdir):
  lost.refuse_lost_folder(workdir)
  workdir.rename(workdir.with_name("other"))
  with pytest.raises(UserError, match="the folder was removed or renamed while"):
    lost.refuse_lost_folder(workdir)
