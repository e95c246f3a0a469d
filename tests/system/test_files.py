"""Proves that a file is there whole or not at all."""

import os
from pathlib import Path

import pytest

from attention_lab.errors import UserError
from attention_lab.system.files import (
  make_folder,
  read_json,
  write_atomically,
  write_json,
)


def write(folder, content, name="file"):
  return write_atomically(folder, lambda file: file.write(content), lambda _: name)


def test_content_and_name_are_as_asked(tmp_path):
  path = write(tmp_path, b"content")
  assert (path, path.read_bytes()) == (tmp_path / "file", b"content")


def test_the_name_may_be_read_off_the_content(tmp_path):
  path = write_atomically(
    tmp_path, lambda file: file.write(b"abc"), lambda file: file.read().decode()
  )
  assert path == tmp_path / "abc"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
  write(tmp_path, b"old")

  def fail(file):
    file.write(b"half")
    raise OSError("disk full")

  with pytest.raises(OSError, match="disk full"):
    write_atomically(tmp_path, fail, lambda _: "file")
  assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_an_interrupted_write_leaves_nothing(tmp_path):
  def interrupt(file):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    write_atomically(tmp_path, interrupt, lambda _: "file")
  assert list(tmp_path.iterdir()) == []


def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_return(
  tmp_path, monkeypatch
):
  done = []
  fsync, replace = os.fsync, os.replace
  monkeypatch.setattr(os, "fsync", lambda file: (done.append("fsync"), fsync(file)))
  monkeypatch.setattr(
    os, "replace", lambda *names: (done.append("name"), replace(*names))
  )
  write(tmp_path, b"content")
  assert done == ["fsync", "name", "fsync"]


def test_json_reads_back_as_written(tmp_path):
  content = {"a": [1, 2.5, None, True], "b": {"c": "ü"}}
  write_json(tmp_path / "a.json", content)
  assert read_json(tmp_path / "a.json") == content


def test_json_is_for_people_too(tmp_path):
  write_json(tmp_path / "a.json", {"a": 1})
  assert (tmp_path / "a.json").read_text() == '{\n  "a": 1\n}\n'


def test_json_has_no_number_that_is_not_finite(tmp_path):
  content = {"a": [1.5, float("nan")], "b": (float("-inf"),)}
  write_json(tmp_path / "a.json", content)
  assert read_json(tmp_path / "a.json") == {"a": [1.5, "nan"], "b": ["-inf"]}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"{}{}"])
def test_what_is_no_json_is_named(tmp_path, content):
  (tmp_path / "a.json").write_bytes(content)
  with pytest.raises(UserError, match=r"a\.json is not JSON"):
    read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
  ("name", "reason"), [("missing.json", "No such file"), ("", "Is a directory")]
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path, name, reason):
  with pytest.raises(UserError, match=f"Cannot read .*{name}: {reason}"):
    read_json(tmp_path / name)


def test_a_folder_is_made_with_its_parents_and_is_empty(tmp_path):
  make_folder(tmp_path / "a" / "b", "workdir")
  assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_that_is_there_keeps_what_it_holds(tmp_path):
  write(tmp_path, b"content")
  make_folder(tmp_path, "workdir")
  assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_in_the_way_of_a_folder_is_named_with_the_flag(tmp_path):
  write(tmp_path, b"content")
  with pytest.raises(UserError, match=r"file: File exists. .* --workdir=\.\.\."):
    make_folder(tmp_path / "file", "workdir")


def test_a_folder_that_cannot_be_made_is_named_with_the_flag():
  with pytest.raises(UserError, match=r"Cannot write to /proc/x: .* --data_dir=\.\.\."):
    make_folder(Path("/proc/x"), "data_dir")
