"""What is printed may find no room, or no reader; a user is told in a line, if at all."""

import errno
import os
import subprocess
import sys

import pytest

from attention_lab.system import stdout
from tests.commands import ROOT

LIST = [sys.executable, "-m", "attention_lab.main", "--mode=list"]


def printing_to(descriptor):
  """Status and standard error of a command whose output goes to a file descriptor."""
  environment = os.environ | {"PYTHONPATH": str(ROOT)}
  pipe = subprocess.PIPE
  with subprocess.Popen(
    LIST, stdout=descriptor, stderr=pipe, text=True, env=environment
  ) as started:
    os.close(descriptor)
    _, err = started.communicate(timeout=100)
  return started.returncode, err


def test_a_full_disk_is_told_in_a_line():
  expected = (
    "error: Cannot write: No space left on device. Free some space, and repeat "
  )
  status, err = printing_to(os.open("/dev/full", os.O_WRONLY))
  assert (status, err) == (2, expected + "the command.\n")


def test_a_reader_that_has_gone_is_no_news():
  read, write = os.pipe()
  os.close(read)
  assert printing_to(write) == (1, "")


@pytest.mark.parametrize("number", stdout.NO_ROOM)
def test_a_file_that_finds_no_room_is_named(number):
  error = OSError(number, os.strerror(number), "/a/file")
  assert f"Cannot write to /a/file: {os.strerror(number)}." in str(
    stdout.no_room(error)
  )


@pytest.mark.parametrize(
  "error", [OSError(errno.ENOENT, "none"), ValueError("no file")]
)
def test_other_errors_are_left_alone(error):
  assert stdout.no_room(error) is None


def test_who_reads_is_seen(monkeypatch):
  read, write = os.pipe()
  with os.fdopen(write, "w") as file:
    monkeypatch.setattr(sys, "stdout", file)
    assert stdout.is_read()
    os.close(read)
    assert not stdout.is_read()
