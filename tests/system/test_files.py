"""Files are written completely or not at all."""

import os
import tempfile
from pathlib import Path

import pytest

from attention_lab.errors import UserError
from attention_lab.system import files
from attention_lab.system.files import (
  make_folder,
  read_json,
  write_atomically,
  write_json,
)


def write(folder, content, name="file"):
  return write_atomically(folder, lambda file: file.write(content), lambda _: name)


def test_file_has_the_given_content_and_name(tmp_path):
  path = write(tmp_path, b"content")
  assert (path, path.read_bytes()) == (tmp_path / "file", b"content")


def test_name_may_depend_on_the_content(tmp_path):
  path = write_atomically(
    tmp_path, lambda file: file.write(b"abc"), lambda file: file.read().decode()
  )
  assert path == tmp_path / "abc"


def test_failed_write_leaves_only_the_old_file(tmp_path):
  write(tmp_path, b"old")

  def fail(file):
    file.write(b"half")
    raise OSError("disk full")

  with pytest.raises(OSError, match="disk full"):
    write_atomically(tmp_path, fail, lambda _: "file")
  assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_interrupted_write_leaves_no_file(tmp_path):
  def interrupt(file):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    write_atomically(tmp_path, interrupt, lambda _: "file")
  assert list(tmp_path.iterdir()) == []


def test_content_is_synced_before_the_rename_and_the_folder_after_it(
  tmp_path, monkeypatch
):
  done = []
  fsync, replace = os.fsync, os.replace
  monkeypatch.setattr(os, "fsync", lambda file: (done.append("fsync"), fsync(file)))
  monkeypatch.setattr(
    os, "replace", lambda *names: (done.append("rename"), replace(*names))
  )
  write(tmp_path, b"content")
  assert done == ["fsync", "rename", "fsync"]


def test_json_round_trips(tmp_path):
  content = {"a": [1, 2.5, None, True], "b": {"c": "ü"}}
  write_json(tmp_path / "a.json", content)
  assert read_json(tmp_path / "a.json") == content


def test_json_is_indented(tmp_path):
  write_json(tmp_path / "a.json", {"a": 1})
  assert (tmp_path / "a.json").read_text() == '{\n  "a": 1\n}\n'


def test_json_replaces_numbers_that_are_not_finite_by_strings(tmp_path):
  content = {"a": [1.5, float("nan")], "b": (float("-inf"),)}
  write_json(tmp_path / "a.json", content)
  assert read_json(tmp_path / "a.json") == {"a": [1.5, "nan"], "b": ["-inf"]}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"{}{}"])
def test_malformed_json_is_reported_with_its_path(tmp_path, content):
  (tmp_path / "a.json").write_bytes(content)
  with pytest.raises(UserError, match=r"a\.json is not JSON"):
    read_json(tmp_path / "a.json")


def test_unreadable_file_is_reported_with_the_reason(tmp_path):
  with pytest.raises(UserError, match=r"Cannot read .*missing\.json: No such file"):
    read_json(tmp_path / "missing.json")
  with pytest.raises(UserError, match="is not a regular file"):
    read_json(tmp_path)


def test_folder_is_made_with_its_parents_and_is_empty(tmp_path):
  make_folder(tmp_path / "a" / "b", "workdir")
  assert list((tmp_path / "a" / "b").iterdir()) == []


def test_existing_folder_keeps_its_files(tmp_path):
  write(tmp_path, b"content")
  make_folder(tmp_path, "workdir")
  assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_file_at_the_path_of_a_folder_is_reported_with_the_flag(tmp_path):
  write(tmp_path, b"content")
  with pytest.raises(UserError, match=r"file: File exists. .* --workdir=\.\.\."):
    make_folder(tmp_path / "file", "workdir")


def test_folder_that_cannot_be_made_is_reported_with_the_flag():
  with pytest.raises(UserError, match=r"Cannot write to /proc/x: .* --data_dir=\.\.\."):
    make_folder(Path("/proc/x"), "data_dir")


def test_a_user_without_a_home_has_a_cache_folder(monkeypatch):
  monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

  def fail():
    raise RuntimeError("Could not determine home directory.")

  monkeypatch.setattr(files.Path, "home", fail)
  expected = Path(tempfile.gettempdir()) / f"attention_lab-{os.getuid()}"
  assert files.user_cache() == expected
