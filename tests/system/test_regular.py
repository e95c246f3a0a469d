"""Links, pipes and devices in a folder are neither followed nor waited for."""

import os

import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.run.checkpoint import Checkpoints
from attention_lab.run.metrics_file import records
from attention_lab.system.files import read_json
from attention_lab.system.regular import (
  kept_if_possible,
  no_follow,
  read_regular,
  refuse_links_below,
  refuse_links_between,
)


def make(kind, path, target):
  """Make what stands in for a file."""
  if kind == "link":
    path.symlink_to(target)
  elif kind == "dangling link":
    path.symlink_to(path.with_name("nothing"))
  elif kind == "pipe":
    os.mkfifo(path)
  elif kind == "device":
    path.symlink_to("/dev/zero")
  else:
    path.mkdir()


KINDS = ("link", "dangling link", "pipe", "device", "folder")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("read", [read_json, records])
def test_only_regular_files_are_read(kind, read, tmp_path):
  target = tmp_path / "target"
  target.write_text('{"step": 1}\n')
  path = tmp_path / "file"
  make(kind, path, target)
  with pytest.raises(UserError, match="symbolic link|not a regular file"):
    read(path)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_named_like_a_checkpoint_and_is_no_file_is_skipped(
  kind, tmp_path, capsys
):
  checkpoints = Checkpoints(tmp_path, keep=2)
  checkpoints.save(1, {"w": np.zeros(2)}, {})
  (saved,) = checkpoints.paths()
  make(kind, tmp_path / saved.name.replace("000000001", "000000002"), saved)
  restored = checkpoints.restore({"w": np.zeros(2)})
  assert restored.path == saved
  assert "is damaged; trying the one before it" in capsys.readouterr().err


def test_a_folder_of_checkpoints_that_is_a_link_is_refused(tmp_path):
  other = tmp_path / "other"
  other.mkdir()
  (other / "precious.partial").write_text("")
  run = tmp_path / "run"
  run.mkdir()
  (run / run_folder.CHECKPOINTS).symlink_to(other)
  with pytest.raises(UserError, match="symbolic link"), run_folder.held(run):
    pass
  assert (other / "precious.partial").exists()


def test_a_file_is_not_written_through_a_link(tmp_path):
  target = tmp_path / "profile"
  target.write_text("precious")
  (tmp_path / "log").symlink_to(target)
  with pytest.raises(OSError, match="symbolic"):
    no_follow(str(tmp_path / "log"), os.O_WRONLY)
  assert target.read_text() == "precious"
  with open(tmp_path / "new", "a", opener=no_follow) as file:
    file.write("text")
  assert read_regular(tmp_path / "new") == b"text"


def test_what_cannot_be_kept_is_told(tmp_path, capsys):
  with kept_if_possible(tmp_path / "file"):
    raise PermissionError(13, "Permission denied")
  assert f"{tmp_path / 'file'} could not be kept: Permission" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "device", "folder"])
def test_only_regular_files_are_appended_to(kind, tmp_path):
  path, target = tmp_path / "log", tmp_path / "target"
  target.write_text("precious")
  make(kind, path, target)
  with pytest.raises(
    OSError, match="symbolic links|directory|regular file|No such device"
  ):
    open(path, "a", opener=no_follow)  # noqa: SIM115
  assert target.read_text() == "precious"


@pytest.mark.parametrize("link", ["cells", "cells/row", "cells/row/seed0"])
def test_a_link_on_the_way_to_a_folder_is_refused(tmp_path, link):
  root, other = tmp_path / "root", tmp_path / "other"
  (root / link).parent.mkdir(parents=True)
  other.mkdir()
  path = root / "cells" / "row" / "seed0"
  refuse_links_between(root, path)
  (root / link).symlink_to(other)
  with pytest.raises(UserError, match="is a symbolic link"):
    refuse_links_between(root, path)


@pytest.mark.parametrize("link", ["folder", "folder/a", "folder/inner/a"])
def test_a_link_below_a_folder_is_refused(tmp_path, link):
  (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
  refuse_links_below(tmp_path / "folder")
  (tmp_path / link).symlink_to(tmp_path / "nothing")
  with pytest.raises(UserError, match="is a symbolic link"):
    refuse_links_below(tmp_path / "folder")
